import { z } from 'zod';
import type { GenerateOptions } from '../model/generation/text-generator.js';
import { refusal } from './api-error.js';
import { generateOptions, SamplingFields } from './request-body.js';

const DEFAULT_TOKENS = 16;
const MOST_LOGPROBS = 100;

const TokenIds = z.array(z.int().min(0)).min(1);

/** Body of POST /v1/completions. */
export const CompletionRequest = z.object({
  ...SamplingFields,
  prompt: z.union([z.string(), z.array(z.string()).min(1), TokenIds, z.array(TokenIds).min(1)], {
    error: 'a string, token ids, or a list of either',
  }),
  /** With `echo`, 0 only reads the prompt. */
  max_tokens: z.int().min(0).nullish(),
  logprobs: z.int().min(0).max(MOST_LOGPROBS).nullish(),
  echo: z.boolean().nullish(),
  best_of: z.int().min(1).nullish(),
});
export type CompletionRequest = z.infer<typeof CompletionRequest>;

/** The prompts, each as text or token ids. */
export function promptsOf({ prompt }: CompletionRequest): (string | Int32Array)[] {
  if (typeof prompt === 'string') return [prompt];
  if (typeof prompt[0] === 'number') return [Int32Array.from(prompt as number[])];
  return (prompt as (string | number[])[]).map((one) => (typeof one === 'string' ? one : Int32Array.from(one)));
}

/** @throws HTTPException 400 */
export function completionOptions(request: CompletionRequest): GenerateOptions {
  const { n, best_of: best, logprobs, echo, max_tokens: most } = request;
  if (best != null && best !== (n ?? 1))
    throw refusal(400, 'best_of is not supported by this server. Leave it out.', {
      code: 'unsupported_parameter',
      param: 'best_of',
    });
  return {
    ...generateOptions(request),
    maxTokens: most ?? DEFAULT_TOKENS,
    ...(logprobs != null && { logProbs: logprobs, ...(echo && { promptLogProbs: logprobs }) }),
  };
}
