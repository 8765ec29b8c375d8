import { logSumExp } from '../../model/log-sum-exp.js';

/**
 * Next-token distributions of an untouched model, row by row, to compare others with.
 *
 * Of a row with logits a, p = softmax(a) and of another with logits b, q = softmax(b):
 * cross-entropy of the token t that follows is -log q(t) = logSumExp(b) - b[t], and KL(p || q) = sum p (a - b) - logSumExp(a) +
 * logSumExp(b), both in nats; p is kept in fp32, sums are in fp64.
 */
export class NextTokens {
  private readonly total: Float64Array;
  private readonly expected: Float64Array;

  /**
   * @param rows the rows of `logits` [rows, vocabulary] that are asked for
   * @param p where their probabilities are kept: memory as long as `logits`, or longer
   */
  constructor(
    logits: Float32Array,
    private readonly vocabulary: number,
    rows: Int32Array,
    private readonly p: Float32Array,
  ) {
    const count = logits.length / vocabulary;
    this.total = new Float64Array(count);
    this.expected = new Float64Array(count);
    for (const row of rows) {
      const from = row * vocabulary;
      const total = logSumExp(logits, from, vocabulary);
      let expected = 0;
      for (let at = from; at < from + vocabulary; at++) {
        p[at] = Math.exp(logits[at] - total);
        expected += p[at] * logits[at];
      }
      this.total[row] = total;
      this.expected[row] = expected;
    }
  }

  /** logSumExp of the untouched row. */
  totalOf(row: number): number {
    return this.total[row];
  }

  /**
   * logSumExp of another run's row, and the divergence of its distribution.
   * @param other where the row stands in that run, if elsewhere
   */
  against(logits: Float32Array, row: number, other = row): { total: number; kl: number } {
    const { vocabulary, p } = this;
    const [from, to] = [other * vocabulary, row * vocabulary];
    const total = logSumExp(logits, from, vocabulary);
    let expected = 0;
    for (let v = 0; v < vocabulary; v++) expected += p[to + v] * logits[from + v];
    // Rounding of p and of the sums can leave a hair below 0.
    return { total, kl: Math.max(0, this.expected[row] - expected - this.total[row] + total) };
  }
}
