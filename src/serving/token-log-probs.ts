/** @file Log-probabilities as OpenAI's endpoints tell them. */
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import type { LogProbs } from '../model/generation/log-probs.js';

export interface ChatTokenLogProb {
  token: string;
  logprob: number;
  /** UTF-8; null for a token that is part of a character. */
  bytes: number[] | null;
}

/** One entry of `choices[].logprobs.content`. */
export type ChatTokenLogProbs = ChatTokenLogProb & { top_logprobs: ChatTokenLogProb[] };

/** `choices[].logprobs` of a completion: a row a token. */
export interface CompletionLogProbs {
  tokens: string[];
  /** Null for a text's first token. */
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[] | null;
  /** Where each token begins in the choice's text, in characters (code points). */
  text_offset: number[];
}

/** @param logProbs of these tokens */
export function chatLogProbs(tokenIds: ArrayLike<number>, logProbs: LogProbs, tokenizer: Tokenizer): ChatTokenLogProbs[] {
  const entry = (id: number, logprob: number): ChatTokenLogProb => {
    const token = tokenizer.decode([id]);
    return { token, logprob, bytes: token.includes('\ufffd') ? null : [...Buffer.from(token)] };
  };
  return Array.from(tokenIds, (id, i) => ({
    ...entry(id, logProbs.chosen[i]),
    top_logprobs: likeliest(logProbs, i).map(([top, p]) => entry(top, p)),
  }));
}

/**
 * @param parts tokens one after another with their log-probabilities
 * @param offset characters before the first of them
 */
export function completionLogProbs(
  parts: readonly { tokenIds: ArrayLike<number>; logProbs: LogProbs }[],
  tokenizer: Tokenizer,
  offset = 0,
): CompletionLogProbs {
  const told: CompletionLogProbs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  let at = offset;
  for (const { tokenIds, logProbs } of parts)
    for (let i = 0; i < tokenIds.length; i++) {
      const token = tokenizer.decode([tokenIds[i]]);
      const chosen = logProbs.chosen[i];
      const first = Number.isNaN(chosen);
      told.tokens.push(token);
      told.token_logprobs.push(first ? null : chosen);
      told.text_offset.push(at);
      at += [...token].length;
      if (logProbs.top === 0) told.top_logprobs = null;
      told.top_logprobs?.push(first ? null : byText([[tokenIds[i], chosen], ...likeliest(logProbs, i)], tokenizer));
    }
  return told;
}

function likeliest({ top, topIds, topLogProbs }: LogProbs, row: number): [id: number, logProb: number][] {
  return Array.from({ length: top }, (_, i): [number, number] => [topIds[row * top + i], topLogProbs[row * top + i]]).filter(
    ([id]) => id >= 0,
  );
}

/** By text, as the format has it: of tokens with the same text the likeliest stands for all. */
function byText(entries: readonly (readonly [id: number, logProb: number])[], tokenizer: Tokenizer): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [id, logProb] of entries) {
    const token = tokenizer.decode([id]);
    found[token] = Math.max(found[token] ?? Number.NEGATIVE_INFINITY, logProb);
  }
  return found;
}
