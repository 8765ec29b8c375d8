import { z } from 'zod';
import { MODES } from '../alignment/remedy-schema.js';
import { POSITIONS } from '../model/intervention.js';
import { PRECISIONS } from '../model/precision.js';

/** Which model, and how it is changed: flags of `serve`, `generate` and `chat`. */
export const SteeringFields = {
  model: z.string().describe('smollm2-135m, a path, hf:owner/name ...'),
  remedy: z.array(z.string()).default([]).describe('directories of remedies, comma-separated, each DIRECTORY or NAME=DIRECTORY'),
  mode: z.enum(MODES).optional().describe("how states are changed; default: the remedy's usual mode"),
  positions: z.enum(POSITIONS).default('all').describe('tokens that are changed; never the first, nor other sinks'),
  layers: z
    .array(z.coerce.number<string | number>().int().nonnegative())
    .optional()
    .describe("some of the remedy's layers; default: all"),
  strength: z.number().optional().describe('of the change where an id says none; default: 1'),
  precision: z.enum(PRECISIONS).default('fp32').describe('of the weights'),
  threads: z.int().positive().optional().describe('default: as many as the machine has cores'),
};
