import { z } from 'zod';

/** What decides a screening, and the flags of `features`. */
export const FeaturesOptions = z.object({
  sae: z.string().describe('a directory of SAELens or sparsify, or a file layer{n}.sae.pt of Qwen-Scope'),
  activations: z.string().describe("activation directory of the autoencoder's layer (capture --pool last,tokens)"),
  corpus: z.string().describe('the corpus that was captured'),
  out: z.string().describe('directory for manifest.json, features.json and neuronpedia/; the command adds features.html'),
  model: z
    .string()
    .optional()
    .describe('the model of the activations: highlights tokens, and what a latent says through the head'),
  features: z
    .array(z.coerce.number<string | number>().int().nonnegative())
    .optional()
    .describe('latents to describe whatever they show, e.g. 12,90'),
  top: z.int().nonnegative().default(3).describe('latents of each pole to describe even where they do not survive'),
  most: z.int().positive().default(200).describe('survivors to describe at most, the smallest q first; all are listed'),
  actions: z.int().positive().default(10).describe('top activating actions of a described latent'),
  level: z.number().gt(0).lt(1).default(0.05).describe('false discovery rate of a pole'),
  minEffect: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.1)
    .describe('|r| that a latent needs on the fold that chooses and on the one that judges'),
  crossFit: z
    .enum(['auto', 'always', 'never'])
    .default('auto')
    .describe('let each half of the texts choose for the other; auto: below 4,000 texts'),
  permutations: z.int().min(200).default(10_000).describe('exchanges of the judgments behind every p'),
  permutedVectors: z.int().min(20).default(20).describe('whole screenings on exchanged moral vectors'),
  bootstraps: z.int().min(100).default(1000).describe('bootstrap draws of the texts behind every interval'),
  set: z.string().default('moralscope').describe('name of the set of latents on Neuronpedia'),
  site: z.string().optional().describe('blocks.{L}.hook_resid_post and the like, where the files do not say it'),
  k: z.int().positive().optional().describe('active latents of a token, where the files do not say it (Qwen-Scope)'),
  activationScale: z.number().positive().optional().describe('factor of expected_average_only_in, where the files lack it'),
  seed: z.int().default(0).describe('of every random draw'),
  threads: z.int().positive().optional().describe('default: as many as the machine has cores'),
});
export type FeaturesOptions = z.infer<typeof FeaturesOptions>;
