import { z } from 'zod';
import { MODES } from '../../alignment/remedy-schema.js';
import { POSITIONS } from '../../model/intervention.js';
import { PRECISIONS } from '../../model/precision.js';

/** What others read: a whole model (onnx), or what was changed in it. */
export const EXPORT_FORMATS = ['onnx', 'gguf', 'lm-eval', 'torch'] as const;

/** The flags of `export`. */
export const ExportOptions = z.object({
  model: z.string().describe('smollm2-135m, a path, hf:owner/name ...'),
  remedy: z.string().optional().describe('directory of the remedy; without one the model as it is (onnx)'),
  arm: z.string().optional().describe('the remedy itself (default), or one of its controls'),
  out: z.string().describe('directory to make'),
  format: z
    .enum(EXPORT_FORMATS)
    .default('onnx')
    .describe(
      'onnx (a model for transformers.js), gguf (control vector for llama.cpp), lm-eval (steered), torch (tensors and a hook)',
    ),
  mode: z.enum(MODES).optional().describe("how states are changed; default: the remedy's usual mode"),
  strength: z.number().optional().describe('of the change, for good; default: 1'),
  strengthInput: z.boolean().default(false).describe('make the strength an input of the graph (onnx)'),
  positions: z.enum(POSITIONS).optional().describe('tokens that are changed: others know of no prompt, so all'),
  precision: z.enum(PRECISIONS).default('fp32').describe('of the weights (onnx)'),
});
export type ExportOptions = z.infer<typeof ExportOptions>;
