import { join } from 'node:path';
import { align } from '../alignment/align.js';
import { AlignOptions } from '../alignment/align-options.js';
import { command } from './command.js';

export const alignCommand = () =>
  command(
    'align',
    'make a remedy: realigned moral latents, or one of the peers they must beat, with controls',
    AlignOptions,
    async (options, work) => {
      const { content, directory } = await align({ ...options, ...work });
      return {
        json: { directory, ...content },
        text: [content.summary, ...content.notes, join(directory, 'remedy.json')].join('\n'),
      };
    },
  );
