import { exportModel } from '../serving/export/export-model.js';
import { ExportOptions } from '../serving/export/options.js';
import { command } from './command.js';

export const exportCommand = () =>
  command(
    'export',
    'a model with a remedy inside for transformers.js, or the remedy for llama.cpp, lm-eval and PyTorch',
    ExportOptions,
    async (options, work) => {
      const { directory, files, summary, model } = await exportModel({ ...options, ...work });
      return { json: { directory, files, model, summary }, text: `${directory}: ${summary}\n${files.join('\n')}` };
    },
    { beginsAnew: true },
  );
