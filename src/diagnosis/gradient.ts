import { POLES } from '../moral/foundation.js';
import { spearman } from '../statistics/ranks.js';
import { meanOfFinite } from '../statistics/resampling.js';
import { type DrawnStatistic, figure } from './figure.js';
import type { PrototypeDraw } from './prototypes.js';
import type { Gradient } from './schema.js';

const K = POLES.length;
/** Fewer texts than this say nothing about a rank correlation. */
const FEWEST = 5;

/** Where the values of a draw stand: detection of pole k at k, gradient at 10 + k, their means at 20 and 21. */
export const DETECTION_MEAN = 2 * K;
export const GRADIENT_MEAN = 2 * K + 1;

/** Scores of the texts of pole k's foundation by a prototype that leaves the text itself out. */
export interface PoleScores {
  /** Positions of the texts, human m, cosine with the prototype, times the bootstrap drew them. */
  text: Int32Array;
  m: Float64Array;
  cosine: Float64Array;
  counts: Uint16Array;
}

/**
 * s_i = cos(h~_i, c_k without text i) for the pole's own texts and its foundation's neutrals (docs/paper.md section 3.2, [ours]).
 * The left-out prototype needs no sum of its own: c - a h has inner product h.c - a h.h and square c.c - 2a h.c + a^2 h.h.
 */
export function poleScores({ weights, products, textSquares, squares, draw, members }: PrototypeDraw, k: number): PoleScores {
  const { m } = draw;
  const n = m.length / K;
  const [own, opposed] = [k * n, (k ^ 1) * n];
  const among = members[k >> 1];
  const found: PoleScores = {
    text: new Int32Array(among.length),
    m: new Float64Array(among.length),
    cosine: new Float64Array(among.length),
    counts: new Uint16Array(among.length),
  };
  let items = 0;
  for (const i of among) {
    const judged = m[own + i];
    const times = draw.counts ? draw.counts[i] : 1;
    if (times === 0 || !(judged > 0 || m[opposed + i] === 0)) continue;
    const [a, product, square] = [weights[own + i], products[own + i], textSquares[i]];
    const left = squares[k] - 2 * a * product + a * a * square;
    const scale = left > 1e-5 * squares[k] ? Math.sqrt(left * square) : 0;
    if (scale === 0) continue;
    found.text[items] = i;
    found.m[items] = judged;
    found.cosine[items] = (product - a * square) / scale;
    found.counts[items++] = times;
  }
  return first(found, items);
}

/** Spearman of s with m, pole by pole: with the neutrals (detection) and among m > 0 alone (gradient), and the two means. */
export function poleCorrelations(drawn: PrototypeDraw): Float64Array {
  const found = new Float64Array(2 * K + 2);
  for (let k = 0; k < K; k++) {
    const scores = poleScores(drawn, k);
    found[k] = correlation(scores, drawn.draw.counts !== undefined);
    const above = ownTexts(scores);
    found[K + k] = correlation(above, drawn.draw.counts !== undefined);
  }
  found[DETECTION_MEAN] = meanOfFinite(found.subarray(0, K));
  found[GRADIENT_MEAN] = meanOfFinite(found.subarray(K, 2 * K));
  return found;
}

/** Puts analysis 2 together from its draws. */
export function gradient(correlations: DrawnStatistic): Gradient {
  const options = { better: 'greater', bounds: [-1, 1] } as const;
  return {
    detection: figure(correlations, DETECTION_MEAN, { ...options, whyEmpty: 'no pole has enough texts' }),
    gradient: figure(correlations, GRADIENT_MEAN, { ...options, whyEmpty: 'no pole has enough texts of different m' }),
    perPole: Object.fromEntries(
      POLES.map((pole, k) => [
        pole,
        {
          detection: figure(correlations, k, {
            ...options,
            whyEmpty: `fewer than ${FEWEST} texts of ${pole} and neutrals, or all alike`,
          }),
          gradient: figure(correlations, K + k, {
            ...options,
            whyEmpty: `fewer than ${FEWEST} texts of ${pole}, or all of one m`,
          }),
        },
      ]),
    ) as Gradient['perPole'],
  };
}

function correlation({ m, cosine, counts }: PoleScores, resampled: boolean): number {
  if (m.length < FEWEST) return Number.NaN;
  return resampled ? spearman(cosine, m, counts) : spearman(cosine, m);
}

function ownTexts({ text, m, cosine, counts }: PoleScores): PoleScores {
  const n = m.length;
  const own: PoleScores = {
    text: new Int32Array(n),
    m: new Float64Array(n),
    cosine: new Float64Array(n),
    counts: new Uint16Array(n),
  };
  let items = 0;
  for (let i = 0; i < n; i++) {
    if (!(m[i] > 0)) continue;
    own.text[items] = text[i];
    own.m[items] = m[i];
    own.cosine[items] = cosine[i];
    own.counts[items++] = counts[i];
  }
  return first(own, items);
}

function first({ text, m, cosine, counts }: PoleScores, n: number): PoleScores {
  return { text: text.subarray(0, n), m: m.subarray(0, n), cosine: cosine.subarray(0, n), counts: counts.subarray(0, n) };
}
