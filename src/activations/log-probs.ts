import { logSumExp } from '../model/log-sum-exp.js';
import type { TokenBatch } from '../model/token-rows.js';

/**
 * Natural log-probabilities of the listed tokens under each row of logits.
 * @param logits [rows, vocabulary]
 * @returns [rows, tokenIds.length]
 */
export function logProbs(logits: Float32Array, vocabulary: number, tokenIds: Int32Array): Float32Array {
  const rows = logits.length / vocabulary;
  const width = tokenIds.length;
  const result = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const at = row * vocabulary;
    const total = logSumExp(logits, at, vocabulary);
    for (let t = 0; t < width; t++) result[row * width + t] = logits[at + tokenIds[t]] - total;
  }
  return result;
}

/**
 * Of each text the sum of -log p over its tokens but the first, nats, given the tokens before each.
 * @param logits [rows, vocabulary]
 * @param place the row of each token, [batch, length]
 */
export function surprisal(
  logits: Float32Array,
  vocabulary: number,
  place: Int32Array,
  { ids, lengths, length }: Pick<TokenBatch, 'ids' | 'lengths' | 'length'>,
): Float64Array {
  // Texts that begin alike share rows.
  const totals = new Map<number, number>();
  const totalOf = (row: number) => {
    const total = totals.get(row) ?? logSumExp(logits, row * vocabulary, vocabulary);
    totals.set(row, total);
    return total;
  };
  return Float64Array.from(lengths, (tokens, text) => {
    let sum = 0;
    for (let at = text * length; at < text * length + tokens - 1; at++)
      sum += totalOf(place[at]) - logits[place[at] * vocabulary + ids[at + 1]];
    return sum;
  });
}

/** Adds each row's probabilities to `sum` [vocabulary]. */
export function addProbabilities(logits: Float32Array, vocabulary: number, sum: Float64Array): void {
  for (let at = 0; at < logits.length; at += vocabulary) {
    const total = logSumExp(logits, at, vocabulary);
    for (let v = 0; v < vocabulary; v++) sum[v] += Math.exp(logits[at + v] - total);
  }
}
