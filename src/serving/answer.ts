/** @file What the answers of both endpoints have in common. */
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import type { FinishReason } from '../model/generation/messages.js';
import { refusal } from './api-error.js';
import type { EncodedPrompt } from './steered-model.js';

export interface Answer {
  /** Of the answer, unique. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** As it was asked for. */
  readonly model: string;
  /** What may change the numbers: this program's version, and the checkpoint. */
  readonly fingerprint: string;
  readonly tokenizer: Tokenizer;
  /** Token ids that end a text. */
  readonly endTokens: readonly number[];
  readonly prompts: readonly EncodedPrompt[];
  /** Whether a stream ends with what the answer cost. */
  readonly includeUsage: boolean;
}

/** @param tokens generated, of each choice */
export function usageOf({ prompts }: Answer, tokens: readonly number[]) {
  const [read, written] = [prompts.map(({ ids }) => ids.length), tokens].map((counts) => counts.reduce((a, b) => a + b, 0));
  return { prompt_tokens: read, completion_tokens: written, total_tokens: read + written };
}

/**
 * Why a text ended, as clients know it.
 * @throws HTTPException 503 for one that was not let come to its end
 */
export function finishOf({ finishReason }: { finishReason: FinishReason }): 'stop' | 'length' {
  if (finishReason !== 'cancelled') return finishReason;
  throw refusal(503, 'The server stopped before the text was whole.', { code: 'stopping' });
}
