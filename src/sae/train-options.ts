import { z } from 'zod';
import { STORED } from '../activations/details.js';

const whole = z.coerce.number<string | number>().pipe(z.int().positive());

/** What decides a training run, and the flags of `sae train`. */
export const TrainSaeOptions = z.object({
  activations: z.string().optional().describe('activation directory to train on'),
  model: z.string().optional().describe('or a model, whose states are captured while training (with --text, --corpus)'),
  text: z
    .array(z.string())
    .optional()
    .describe('general text: files of lines, JSONL or parquet (field "text", or FILE:field), or wordnet-glosses'),
  corpus: z.string().optional().describe('corpus directory whose texts are mixed in'),
  corpusShare: z.number().gt(0).lt(1).default(0.1).describe("the corpus's share of every batch, beside general text"),
  out: z.string().describe('directory to make'),
  layers: z.string().default('all').describe('all, or a list such as 3,7-12'),
  states: z.enum(STORED).default('tokens').describe('one state a token, or one a text: last, content, mean'),
  arch: z.enum(['topk', 'batchtopk', 'relu']).default('topk').describe('how latents are chosen'),
  width: z.array(whole).min(1).default([4096]).describe('number of latents; several are trained on the same states'),
  k: z
    .array(whole)
    .min(1)
    .default([32])
    .describe('active latents of a token (relu: the L0 that lambda is led to); several likewise'),
  tokens: z.int().positive().optional().describe('states to train on in all; default: 4 million'),
  epochs: z.number().positive().optional().describe('instead of --tokens: how often every state is seen'),
  batch: z.int().positive().default(2048).describe('states of a step'),
  learningRate: z
    .number()
    .positive()
    .optional()
    .describe(
      'peak; default: 2e-4 / sqrt(width / 2^14), in short runs sqrt(55,000 / steps) times that, at most 12 (relu: never)',
    ),
  warmup: z.int().nonnegative().optional().describe('steps of linear warm-up; default: a twentieth of the run, at most 1000'),
  decay: z.int().nonnegative().optional().describe('steps of linear decay at the end; default: a fifth of the run'),
  auxWeight: z.number().nonnegative().optional().describe('weight of AuxK, which revives dead latents; default: 1/32 (relu: 0)'),
  lambda: z.number().nonnegative().optional().describe('relu: weight of mean |z| at the start; default: 1'),
  clip: z.number().positive().optional().describe('largest norm of the gradient; default: 1'),
  checkpointEvery: z.int().positive().default(500).describe('steps between checkpoints'),
  keepActivations: z.boolean().optional().describe('keep the states that --model captured'),
  resume: z.boolean().optional().describe('go on with the unfinished run in --out; without one, an error'),
  seed: z.int().default(0).describe('of initialisation and order'),
  threads: z.int().positive().optional().describe('default: as many as the machine has cores'),
});
export type TrainSaeOptions = z.infer<typeof TrainSaeOptions>;
