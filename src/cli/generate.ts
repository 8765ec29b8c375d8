import { generateFile } from '../serving/generate-file.js';
import { GenerateFileOptions } from '../serving/generate-options.js';
import { command } from './command.js';

export const generateCommand = () =>
  command(
    'generate',
    'go on with every prompt of a file, changed by a remedy or not: JSONL out, taken up where it stopped',
    GenerateFileOptions,
    async (options, work) => {
      const made = await generateFile({ ...options, ...work });
      const { out, prompts, added, tokens } = made;
      return { json: made, text: `${out}: ${prompts} answers, ${added} of them new (${tokens} tokens).` };
    },
  );
