import type { MatMul } from '../graph/matmul.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import type { Draw } from './draws.js';
import type { JudgedTexts } from './judged-texts.js';
import { type States, select, squaredNorms } from './states.js';

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
  /** Inner products of the foundation's texts (centred on the draw's own mean) with every prototype, [10, n]; 0 for other texts. */
  products: Float64Array;
  /** Squared norms of the texts, centred on the draw's own mean. */
  textSquares: Float64Array;
}

/**
 * Prototypes under many draws: c_k = sum over texts of m_k h~ (docs/paper.md section 3.1; the m-weighted mean, up to its scale, which no
 * cosine sees). Sums and inner products of all draws of a chunk are matrix products, foundation by foundation: a pole concerns the texts of
 * its foundation alone.
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
  const { n, d } = centred;
  const squares = squaredNorms(centred);
  const members = FOUNDATIONS.map((_, f) => texts.membersOf(f));
  const ofFoundation = members.map((among) => select(centred, among));
  const single = new Uint8Array(n);
  for (const i of texts.ofOneFoundation()) single[i] = 1;
  // Bounds the blocks of a chunk to about 64 MB whatever the corpus.
  const chunk = Math.max(1, Math.min(64, Math.floor(16e6 / (2 * K * Math.max(n, d)))));
  for (let from = 0; from < draws.length; from += chunk) {
    const part = draws.slice(from, from + chunk).map((draw) => {
      const weights = new Float32Array(K * n);
      texts.weights(draw, weights);
      return { draw, weights, prototypes: new Float32Array(K * d), ofOneFoundation: new Float32Array(oneFoundation ? K * d : 0) };
    });
    const means = await drawMeans(part, centred, matmul);
    const products = part.map(() => new Float64Array(K * n));
    for (const [f, { n: size, data }] of ofFoundation.entries()) {
      if (size === 0) continue;
      const among = members[f];
      const rows = oneFoundation ? 4 : 2;
      const left = new Float32Array(part.length * rows * size);
      part.forEach(({ weights }, b) => {
        for (let row = 0; row < rows; row++) {
          const own = (2 * f + (row & 1)) * n;
          const to = (b * rows + row) * size;
          for (let i = 0; i < size; i++) if (row < 2 || single[among[i]]) left[to + i] = weights[own + among[i]];
        }
      });
      const sums = await matmul.product(left, data, { m: part.length * rows, n: d, k: size });
      const right = new Float32Array(part.length * 2 * d);
      part.forEach(({ prototypes, ofOneFoundation }, b) => {
        for (let row = 0; row < rows; row++) {
          const at = b * rows + row;
          const sum = sums.subarray(at * d, (at + 1) * d);
          if (means) shift(sum, means.states.subarray(b * d, (b + 1) * d), -total(left.subarray(at * size, (at + 1) * size)));
          (row < 2 ? prototypes : ofOneFoundation).set(sum, (2 * f + (row & 1)) * d);
          if (row < 2) right.set(sum, (2 * b + row) * d);
        }
      });
      const inners = await matmul.product(right, data, { m: part.length * 2, n: size, k: d, transposeB: true });
      part.forEach(({ prototypes }, b) => {
        for (let row = 0; row < 2; row++) {
          const k = 2 * f + row;
          const offset = means ? inner(prototypes.subarray(k * d, (k + 1) * d), means.states.subarray(b * d, (b + 1) * d)) : 0;
          for (let i = 0; i < size; i++) products[b][k * n + among[i]] = inners[(2 * b + row) * size + i] - offset;
        }
      });
    }
    part.forEach((drawn, b) => {
      const mean = means?.states.subarray(b * d, (b + 1) * d);
      const meanSquare = mean ? inner(mean, mean) : 0;
      const found: PrototypeDraw = {
        ...drawn,
        members,
        squares: squaredNorms({ n: K, d, data: drawn.prototypes }),
        products: products[b],
        textSquares: means ? squares.map((square, i) => square - 2 * means.products[b * n + i] + meanSquare) : squares,
      };
      visit(found, from + b);
    });
  }
}

/** Mean state of each draw, [draws, d], and its inner product with every text, [draws, n]; undefined where nothing was resampled: it is 0. */
async function drawMeans(part: { draw: Draw }[], { n, d, data }: States, matmul: MatMul) {
  if (part.every(({ draw }) => draw.counts === undefined)) return undefined;
  const shares = new Float32Array(part.length * n);
  part.forEach(({ draw: { counts } }, b) => {
    if (!counts) return;
    const times = counts.reduce((sum, count) => sum + count, 0);
    for (let i = 0; i < n; i++) shares[b * n + i] = counts[i] / times;
  });
  const states = await matmul.product(shares, data, { m: part.length, n: d, k: n });
  return { states, products: await matmul.product(states, data, { m: part.length, n, k: d, transposeB: true }) };
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
