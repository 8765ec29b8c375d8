import { z } from 'zod';

/** What decides an evaluation, and the flags of `sae eval`. */
export const EvalSaeOptions = z.object({
  activations: z.string().describe('activation directory of the layer, best with tokens (capture --pool last,tokens)'),
  model: z.string().optional().describe('the model of these activations, to splice the autoencoder into: CE recovered, KL score'),
  text: z
    .string()
    .optional()
    .describe('texts to splice on: a file of lines, JSONL or parquet; default: those of the activations'),
  corpus: z.string().optional().describe('the corpus of these activations, for sparse probing of the ten poles'),
  out: z.string().describe('directory for manifest.json and sae-eval.json; the command adds report.html'),
  site: z.string().optional().describe('blocks.{L}.hook_resid_post and the like, where the files do not say it'),
  k: z.int().positive().optional().describe('active latents of a token, where the files do not say it (Qwen-Scope)'),
  activationScale: z.number().positive().optional().describe('factor of expected_average_only_in, where the files lack it'),
  maxStates: z.int().positive().optional().describe('at most so many states of a kind, evenly spread; default: all'),
  maxTexts: z.int().positive().optional().describe('texts to splice on, drawn at random where there are more (default: 1000)'),
  bootstraps: z.int().min(100).default(200).describe('bootstrap draws of the texts behind every interval'),
  seed: z.int().default(0).describe('of every random draw'),
  threads: z.int().positive().optional().describe('default: as many as the machine has cores'),
});
export type EvalSaeOptions = z.infer<typeof EvalSaeOptions>;
