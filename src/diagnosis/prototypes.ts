import type { MatMul } from '../graph/matmul.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import type { Draw } from './draws.js';
import type { JudgedTexts } from './judged-texts.js';
import { type States, squaredNorms } from './states.js';

const K = POLES.length;

/** The ten prototypes of one draw and what the analyses need to judge texts by them. All in the coordinates of `states`. */
export interface PrototypeDraw {
  draw: Draw;
  /** The texts with a row of each foundation. */
  members: Int32Array[];
  /** Weight of text i in the prototype of pole k, [10, n], bootstrap counts included. */
  weights: Float32Array;
  /** Unnormalised prototypes, centred on the draw's own mean, [10, d]. */
  prototypes: Float32Array;
  /** Squared norms of the prototypes. */
  squares: Float64Array;
  /** The same from texts of one foundation only, [10, d], for the baseline of analysis 1; empty unless asked for. */
  ofOneFoundation: Float32Array;
  /** Inner products of every text (centred on the draw's own mean) with every prototype, [10, n]. */
  products: Float64Array;
  /** Squared norms of the texts, centred on the draw's own mean. */
  textSquares: Float64Array;
}

/**
 * Prototypes under many draws: c_k = sum over texts of m_k h~ (PAPER.md section 3.1; the m-weighted mean, up to its scale, which no
 * cosine sees). Sums and inner products of all draws of a chunk are two matrix products.
 *
 * @param centred states of the texts, [n, d], centred over the texts
 * @param visit called once a draw, in order
 */
export async function visitPrototypes(
  texts: JudgedTexts,
  centred: States,
  draws: Draw[],
  matmul: MatMul,
  { oneFoundation }: { oneFoundation: boolean },
  visit: (prototypes: PrototypeDraw, index: number) => void,
): Promise<void> {
  const { n, d, data } = centred;
  const squares = squaredNorms(centred);
  const members = FOUNDATIONS.map((_, f) => texts.membersOf(f));
  const single = new Uint8Array(n);
  for (const i of texts.ofOneFoundation()) single[i] = 1;
  const rowsPerDraw = K + (oneFoundation ? K : 0) + 1;
  // Bounds the two blocks of a chunk to about 64 MB whatever the corpus.
  const chunk = Math.max(1, Math.min(64, Math.floor(16e6 / (rowsPerDraw * Math.max(n, d)))));
  for (let from = 0; from < draws.length; from += chunk) {
    const part = draws.slice(from, from + chunk);
    const rows = part.length * rowsPerDraw;
    const left = new Float32Array(rows * n);
    const drawn = part.map((draw, b) => {
      const block = left.subarray(b * rowsPerDraw * n, (b + 1) * rowsPerDraw * n);
      texts.weights(draw, block.subarray(0, K * n));
      if (oneFoundation)
        for (let k = 0; k < K; k++) for (let i = 0; i < n; i++) if (single[i]) block[(K + k) * n + i] = block[k * n + i];
      const mean = block.subarray((rowsPerDraw - 1) * n);
      if (draw.counts) {
        const times = draw.counts.reduce((sum, count) => sum + count, 0);
        for (let i = 0; i < n; i++) mean[i] = draw.counts[i] / times;
      }
      return { draw, block };
    });
    const sums = await matmul.product(left, data, { m: rows, n: d, k: n });
    const right = new Float32Array(part.length * (K + 1) * d);
    drawn.forEach(({ draw, block }, b) => {
      const own = sums.subarray(b * rowsPerDraw * d, (b + 1) * rowsPerDraw * d);
      const mean = own.subarray((rowsPerDraw - 1) * d);
      if (draw.counts)
        for (let row = 0; row < rowsPerDraw - 1; row++)
          shift(own.subarray(row * d, (row + 1) * d), mean, -total(block.subarray(row * n, (row + 1) * n)));
      right.set(own.subarray(0, K * d), b * (K + 1) * d);
      right.set(mean, (b * (K + 1) + K) * d);
    });
    const against = await matmul.product(right, data, { m: part.length * (K + 1), n, k: d, transposeB: true });
    drawn.forEach(({ draw, block }, b) => {
      const own = sums.subarray(b * rowsPerDraw * d, (b + 1) * rowsPerDraw * d);
      const prototypes = own.subarray(0, K * d);
      const mean = own.subarray((rowsPerDraw - 1) * d);
      const inners = against.subarray(b * (K + 1) * n, (b + 1) * (K + 1) * n);
      const products = new Float64Array(K * n);
      for (let k = 0; k < K; k++) {
        const offset = inner(prototypes.subarray(k * d, (k + 1) * d), mean);
        for (let i = 0; i < n; i++) products[k * n + i] = inners[k * n + i] - offset;
      }
      const meanSquare = inner(mean, mean);
      const found: PrototypeDraw = {
        draw,
        members,
        weights: block.subarray(0, K * n),
        prototypes,
        squares: squaredNorms({ n: K, d, data: prototypes }),
        ofOneFoundation: own.subarray(K * d, (rowsPerDraw - 1) * d),
        products,
        textSquares: squares.map((square, i) => square - 2 * inners[K * n + i] + meanSquare),
      };
      visit(found, from + b);
    });
  }
}

/** Cosine of two rows; NaN where one has no length. */
export function cosine(a: Float32Array, b: Float32Array): number {
  const scale = Math.sqrt(inner(a, a) * inner(b, b));
  return scale > 0 ? inner(a, b) / scale : Number.NaN;
}

/** Inner product, fp64. */
export function inner(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function shift(row: Float32Array, by: Float32Array, times: number): void {
  for (let i = 0; i < row.length; i++) row[i] += times * by[i];
}

function total(row: Float32Array): number {
  let sum = 0;
  for (const v of row) sum += v;
  return sum;
}
