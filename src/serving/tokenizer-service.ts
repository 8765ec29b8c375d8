/**
 * @file The tokenizer over HTTP, as vLLM serves it: evaluation harnesses count a prompt's tokens by it instead of by a copy of their
 * own.
 */
import { z } from 'zod';
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import { refusal } from './api-error.js';
import { parseBody } from './request-body.js';

const TokenizeRequest = z.object({ prompt: z.string(), add_special_tokens: z.boolean().nullish() });
const DetokenizeRequest = z.object({ tokens: z.array(z.int().min(0)) });

/** GET /tokenizer_info */
export function tokenizerInfo({ specialTokens, chatTemplate }: Tokenizer): Record<string, unknown> {
  const { bos_token = null, eos_token = null, pad_token = null } = specialTokens;
  return { bos_token, eos_token, pad_token, chat_template: chatTemplate ?? null };
}

/**
 * POST /tokenize
 * @throws HTTPException 400
 */
export function tokenize(tokenizer: Tokenizer, context: number, body: string): Record<string, unknown> {
  const { prompt, add_special_tokens: special } = parseBody(TokenizeRequest, body);
  const tokens = [...tokenizer.encode(prompt, { addSpecialTokens: special ?? true })];
  return { tokens, count: tokens.length, max_model_len: context };
}

/**
 * POST /detokenize
 * @throws HTTPException 400
 */
export function detokenize(tokenizer: Tokenizer, body: string): Record<string, unknown> {
  const { tokens } = parseBody(DetokenizeRequest, body);
  if (tokens.some((id) => id >= tokenizer.vocabularySize))
    throw refusal(400, 'tokens: an id is not of the vocabulary.', { code: 'invalid_value', param: 'tokens' });
  return { prompt: tokenizer.decode(tokens) };
}
