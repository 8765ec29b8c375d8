import { z } from 'zod';
import { PROMPT_PLACES, REMEDY_KINDS } from './remedy-schema.js';

/** What decides a remedy, and the flags of `align`. */
export const AlignOptions = z.object({
  kind: z
    .enum(REMEDY_KINDS)
    .default('sae')
    .describe(
      'sae: realign moral latents; amplify: feed a probe back; caa: difference of means; pca: main component of paired differences; conva: smallest step to --target; prompt: a text',
    ),
  sae: z.array(z.string()).optional().describe('kind sae: directories of sparse autoencoders, one a layer'),
  activations: z
    .string()
    .optional()
    .describe("activation directory (capture --pool last); or give --model, whose 'last' states are captured"),
  corpus: z.string().optional().describe('the corpus that was captured: judged texts to fit on'),
  pairs: z
    .string()
    .optional()
    .describe(
      'instead of a corpus: a JSONL file of virtue and vice, or moral_action and immoral_action, as the activations hold them',
    ),
  model: z.string().optional().describe('the model that is to be changed; needed without --activations, and for a prompt'),
  out: z.string().describe('directory to make'),
  layers: z
    .string()
    .optional()
    .describe('layers to change, e.g. 10,18; needed where the activations hold several (kind sae: those of the autoencoders)'),
  profile: z.enum(['rigorous', 'paper']).default('rigorous').describe("kind sae: the paper's rules, or ours"),
  epochs: z.int().positive().optional().describe('kind sae: of training at most (default: 50)'),
  patience: z.int().positive().optional().describe('kind sae: epochs without a lower validation loss (default: 10)'),
  batch: z.int().positive().optional().describe('kind sae: texts of a step (default: 512)'),
  learningRate: z.number().positive().optional().describe('kind sae: peak of the one-cycle schedule (default: 1e-4)'),
  level: z.number().gt(0).lt(1).optional().describe('kind sae, rigorous: false discovery rate of a pole (default: .05)'),
  minEffect: z.number().gt(0).lt(1).optional().describe('kind sae, rigorous: |r| that a latent needs (default: .1)'),
  permutations: z.int().min(200).optional().describe('kind sae, rigorous: exchanges behind every p (default: 10,000)'),
  controls: z.boolean().default(false).describe('make shuffled fits and random directions of equal norm beside it, as arms'),
  shuffles: z.int().min(20).optional().describe('with --controls: fits to exchanged judgments (default: 20)'),
  directions: z.int().min(50).optional().describe('with --controls: random directions, each in both signs (default: 50)'),
  weigh: z.boolean().optional().describe('linear kinds: texts count by how strongly they are judged (default: all alike)'),
  target: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe('kind conva: probability of virtue that a state is brought to (default: .9)'),
  prompt: z.string().optional().describe('kind prompt: its text'),
  place: z.enum(PROMPT_PLACES).optional().describe("kind prompt: the system's message (default), or before a plain text"),
  template: z
    .string()
    .optional()
    .describe("with --model, without --activations: what stands around each text (default '{action} is morally')"),
  seed: z.int().default(0).describe('of splits, exchanges and random directions'),
  threads: z.int().positive().optional().describe('default: as many as the machine has cores'),
});
export type AlignOptions = z.infer<typeof AlignOptions>;

/** The options of a remedy with the number of its controls settled. */
export type AlignSettings = AlignOptions & Record<'shuffles' | 'directions', number>;
