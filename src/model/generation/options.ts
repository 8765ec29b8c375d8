import { z } from 'zod';

/** How a text is gone on with, and the flags of what generates. */
export const GenerationOptions = z.object({
  maxTokens: z.int().nonnegative().default(256).describe('tokens to generate at most; 0: only read the prompt'),
  temperature: z.number().min(0).max(100).default(0).describe('0: always the likeliest token'),
  topP: z.number().gt(0).max(1).default(1).describe('draw from the likeliest tokens that together have this probability'),
  topK: z.int().nonnegative().default(0).describe('draw from so many likeliest tokens; 0: from all'),
  minP: z.number().min(0).max(1).default(0).describe('draw from tokens at least this probable, the likeliest counting as 1'),
  repetitionPenalty: z
    .number()
    .gt(0)
    .max(100)
    .default(1)
    .describe('makes tokens of the prompt and the text so far less likely where above 1'),
  stop: z.array(z.string().min(1)).default([]).describe('strings before which the text ends'),
  stopTokenIds: z
    .array(z.coerce.number().int().nonnegative())
    .default([])
    .describe("token ids that end the text, beside the model's own"),
  ignoreEos: z.boolean().default(false).describe("go on where the model's own end tokens would end the text"),
  skipSpecialTokens: z.boolean().default(true).describe('leave special tokens out of the text'),
  seed: z.int().default(0).describe('of every random draw'),
  logProbs: z
    .int()
    .min(0)
    .max(100)
    .optional()
    .describe('log-probabilities of the tokens, and of so many likeliest ones in their places'),
  promptLogProbs: z.int().min(0).max(100).optional().describe("the same of the prompt's tokens"),
});
export type GenerationOptions = z.infer<typeof GenerationOptions>;
