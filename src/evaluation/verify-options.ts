import { z } from 'zod';
import { MODES } from '../alignment/remedy-schema.js';
import { PRECISIONS } from '../model/precision.js';

/** What decides a verification, and the flags of `verify`. */
export const VerifyOptions = z.object({
  model: z.string().describe('the model that the remedy was made for'),
  remedy: z.string().describe('directory made by align, with --controls'),
  corpus: z
    .array(z.string())
    .default([])
    .describe('corpus directories: the one fitted on (its held-out part is judged), and others'),
  pairs: z
    .array(z.string())
    .default([])
    .describe('JSONL files (.gz too) of pairs: moral_action and immoral_action, or virtue and vice'),
  labelled: z.array(z.string()).default([]).describe('JSONL files (.gz too) of text or action, and label'),
  text: z
    .string()
    .optional()
    .describe('general text to measure the damage on: a file as capture --texts takes; default: 64 sentences'),
  out: z.string().describe('directory for manifest.json and verify.json; the command adds report.html'),
  strengths: z
    .array(z.coerce.number<string | number>().gt(0))
    .min(1)
    .default([0.1, 0.25, 0.5, 0.75, 1])
    .describe('strengths to try; validation texts choose one'),
  maxDamage: z
    .number()
    .positive()
    .optional()
    .describe('choose only among strengths whose KL on the general text is below, nats a token'),
  mode: z.enum(MODES).optional().describe('where the remedy has several; default: validation texts choose'),
  positions: z
    .enum(['all', 'last'])
    .default('last')
    .describe('tokens that are changed while the readout is taken; damage is always that of all'),
  template: z.string().optional().describe("text around each action; default: the remedy's"),
  maxTexts: z.int().min(50).default(2000).describe('texts of a data set to judge on at most'),
  maxGeneral: z.int().min(1).default(200).describe('general texts at most'),
  bootstraps: z.int().min(1000).default(1000).describe('draws of the texts, or pairs, behind every interval'),
  permutations: z.int().min(200).default(200).describe('permutations of the judgments behind every null of the diagnosis'),
  rediagnosed: z.int().nonnegative().default(40).describe('controls whose states are diagnosed again; 0: no diagnosis'),
  precision: z.enum(PRECISIONS).default('fp32').describe('of the weights'),
  seed: z.int().default(0).describe('of every random draw'),
  threads: z.int().positive().optional().describe('default: as many as the machine has cores'),
});
export type VerifyOptions = z.infer<typeof VerifyOptions>;
