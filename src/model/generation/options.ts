import { z } from 'zod';
import { PRECISIONS } from '../precision.js';

/** Options of which any may be left out, by being undefined too. */
export type Given<Options> = { [Name in keyof Options]?: Options[Name] | undefined };

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
  stop: z.array(z.string().min(1)).default([]).describe('a string before which the text ends').meta({ verbatim: true }),
  stopTokenIds: z
    .array(z.coerce.number<string | number>().int().nonnegative())
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
  arm: z.string().optional().describe('which of the changes to the model that it was opened with is made; default: none'),
  strength: z.number().optional().describe('how strongly; default: 1 with an arm'),
});
export type GenerationOptions = z.infer<typeof GenerationOptions>;

/** What a model is opened with to generate. */
export const GeneratorOptions = z.object({
  sequences: z
    .int()
    .positive()
    .default(16)
    .describe('texts that are gone on with at once, at most; fewer where their keys and values would not fit'),
  cacheMiB: z
    .number()
    .positive()
    .optional()
    .describe('memory for keys and values; default: a quarter of what is free once the model is there'),
  precision: z.enum(PRECISIONS).default('fp32').describe('of the weights'),
});
export type GeneratorOptions = z.infer<typeof GeneratorOptions>;
