import { z } from 'zod';
import { GenerationOptions, GeneratorOptions } from '../model/generation/options.js';
import { SteeringFields } from './steering-options.js';

const { maxTokens, temperature, topP, topK, minP, repetitionPenalty, stop, ignoreEos, seed } = GenerationOptions.shape;

/** How texts are drawn: flags of `generate` and `chat`. */
export const SamplingFlags = { maxTokens, temperature, topP, topK, minP, repetitionPenalty, stop };

/** What decides a file of answers, and the flags of `generate`. */
export const GenerateFileOptions = z.object({
  prompts: z.string().describe('lines, JSONL with prompt or messages, or parquet (FILE:COLUMN)'),
  out: z.string().describe('JSONL file; what is there already stays, and the rest is added'),
  ...SteeringFields,
  remedy: z.string().optional().describe('directory of a remedy'),
  arm: z.string().optional().describe('the remedy (default), or one of its controls, e.g. shuffled-00'),
  chat: z
    .boolean()
    .default(false)
    .describe('take each plain prompt for what a user says, and write it as the chat template does'),
  system: z.string().optional().describe("the system's message of every conversation that has none"),
  ...SamplingFlags,
  ignoreEos,
  seed: seed.describe('of the first prompt; each one after it counts one on'),
  maxBatch: GeneratorOptions.shape.sequences,
});
export type GenerateFileOptions = z.infer<typeof GenerateFileOptions>;
