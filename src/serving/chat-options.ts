import { z } from 'zod';
import { SamplingFlags } from './generate-options.js';
import { SteeringFields } from './steering-options.js';

/** The flags of `chat`. */
export const ChatFlags = z.object({
  ...SteeringFields,
  remedy: z.string().optional().describe('directory of a remedy'),
  arm: z.string().optional().describe('the remedy (default), or one of its controls, e.g. shuffled-00'),
  system: z.string().optional().describe('what stands before the conversation'),
  compare: z.boolean().default(false).describe('show the answer of the model as it is beside the changed one'),
  ...SamplingFlags,
  maxTokens: SamplingFlags.maxTokens.unwrap().default(512).describe('of an answer, at most'),
  temperature: SamplingFlags.temperature.unwrap().default(0.7).describe('0: always the likeliest token'),
  topP: SamplingFlags.topP.unwrap().default(0.9).describe('draw from the likeliest tokens that together have this probability'),
  seed: z.int().default(0).describe('of the first answer; each one after it counts one on'),
});
export type ChatFlags = z.infer<typeof ChatFlags>;
