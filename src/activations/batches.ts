/** @file Which texts are run together. The plan depends on nothing but token counts, so that a resumed capture repeats it. */
import { setImmediate as breathe } from 'node:timers/promises';
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import { throwIfCancelled } from '../errors.js';
import type { TokenBatch } from '../model/token-rows.js';

/** Token ids of many texts, end to end. */
export interface TokenisedTexts {
  /** Text i owns ids[offsets[i]] .. ids[offsets[i + 1] - 1]. */
  ids: Int32Array;
  /** [texts + 1] */
  offsets: Int32Array;
  /** Number of texts that were cut. */
  truncated: number;
}

/** Tokenises texts, special tokens included; of a longer text the first `maxTokens` tokens stay. */
export async function tokenise(
  texts: readonly string[],
  tokenizer: Pick<Tokenizer, 'encode'>,
  maxTokens: number,
  signal?: AbortSignal,
): Promise<TokenisedTexts> {
  const offsets = new Int32Array(texts.length + 1);
  let ids = new Int32Array(16 * texts.length);
  let truncated = 0;
  for (let i = 0; i < texts.length; i++) {
    if (i % 1024 === 0) {
      await breathe();
      throwIfCancelled(signal);
    }
    let encoded = tokenizer.encode(texts[i], { maxLength: maxTokens + 1 });
    if (encoded.length > maxTokens) {
      encoded = tokenizer.encode(texts[i], { maxLength: maxTokens });
      truncated++;
    }
    offsets[i + 1] = offsets[i] + encoded.length;
    if (offsets[i + 1] > ids.length) {
      const larger = new Int32Array(2 * offsets[i + 1]);
      larger.set(ids);
      ids = larger;
    }
    ids.set(encoded, offsets[i]);
  }
  return { ids: ids.slice(0, offsets[texts.length]), offsets, truncated };
}

/** Rows of a batch that keep the products at their peak. */
export const BATCH_ROWS = 1024;
/** 128 MiB. */
const BATCH_LOGITS = 1 << 25;

/** Rows of a batch of which all logits are asked for. */
export function rowsWithLogits(vocabulary: number): number {
  return Math.max(1, Math.min(BATCH_ROWS, Math.floor(BATCH_LOGITS / vocabulary)));
}

/**
 * Texts that begin alike beside each other: by falling token count to within a factor of two (the longest first: memory peaks at
 * once, not at the end), then in the order of their tokens, ties in their own order.
 * @param texts which of them; default: all
 */
export function byBeginning(
  { ids, offsets }: TokenisedTexts,
  texts: Int32Array = Int32Array.from(offsets.subarray(1).keys()),
): Int32Array {
  const count = (text: number) => offsets[text + 1] - offsets[text];
  const magnitude = (text: number) => 31 - Math.clz32(count(text));
  return texts.slice().sort((a, b) => {
    const bySize = magnitude(b) - magnitude(a);
    if (bySize !== 0) return bySize;
    const common = sharedTokens(ids, offsets, a, b);
    const [nextA, nextB] = [a, b].map((text) => (common < count(text) ? ids[offsets[text] + common] : -1));
    return nextA - nextB || a - b;
  });
}

/** Number of tokens with which two texts begin alike. */
function sharedTokens(ids: Int32Array, offsets: Int32Array, a: number, b: number): number {
  const most = Math.min(offsets[a + 1] - offsets[a], offsets[b + 1] - offsets[b]);
  let shared = 0;
  while (shared < most && ids[offsets[a] + shared] === ids[offsets[b] + shared]) shared++;
  return shared;
}

/** Cuts texts into runs that together hold at most `budget`, at least one text a run. */
export function cutByCost(texts: Int32Array, cost: (text: number) => number, budget: number): Int32Array[] {
  const runs: Int32Array[] = [];
  let from = 0;
  let held = 0;
  texts.forEach((text, i) => {
    const more = cost(text);
    if (i > from && held + more > budget) {
      runs.push(texts.subarray(from, i));
      from = i;
      held = 0;
    }
    held += more;
  });
  if (from < texts.length) runs.push(texts.subarray(from));
  return runs;
}

/**
 * Cuts texts that stand in the order of `byBeginning` into batches of at most `budget` rows, what they share counted once, and at
 * most eight times as many with padding: attention alone works on padded texts.
 */
export function cutIntoBatches({ ids, offsets }: TokenisedTexts, texts: Int32Array, budget: number): Int32Array[] {
  const batches: Int32Array[] = [];
  let from = 0;
  let rows = 0;
  let longest = 0;
  texts.forEach((text, i) => {
    const tokens = offsets[text + 1] - offsets[text];
    let more = tokens - (i > from ? sharedTokens(ids, offsets, texts[i - 1], text) : 0);
    longest = Math.max(longest, tokens);
    if (i > from && (rows + more > budget || (i - from + 1) * longest > 8 * budget)) {
      batches.push(texts.subarray(from, i));
      [from, rows, longest, more] = [i, 0, tokens, tokens];
    }
    rows += more;
  });
  if (from < texts.length) batches.push(texts.subarray(from));
  return batches;
}

/** Right-padded ids of some texts, [texts, length] row-major, and their token counts. */
export function padBatch({ ids, offsets }: TokenisedTexts, texts: Int32Array): TokenBatch {
  const lengths = texts.map((text) => offsets[text + 1] - offsets[text]);
  const length = lengths.reduce((a, b) => Math.max(a, b), 1);
  const padded = new Int32Array(texts.length * length);
  texts.forEach((text, i) => {
    padded.set(ids.subarray(offsets[text], offsets[text + 1]), i * length);
  });
  return { ids: padded, lengths, batch: texts.length, length };
}
