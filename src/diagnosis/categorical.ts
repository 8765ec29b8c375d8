import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { meanOfFinite } from '../statistics/resampling.js';
import type { Draw } from './draws.js';
import { type DrawnStatistic, empty, figure } from './figure.js';
import type { JudgedTexts } from './judged-texts.js';
import { cosine, type PrototypeDraw } from './prototypes.js';
import type { Categorical, Figure } from './schema.js';

const K = POLES.length;
const F = FOUNDATIONS.length;

/** Cosine of opposed prototypes, one a foundation, then their mean over the foundations that have both (docs/paper.md section 3.1). */
export function oppositions({ prototypes }: PrototypeDraw): Float64Array {
  const d = prototypes.length / K;
  const cosines = new Float64Array(F + 1);
  for (let f = 0; f < F; f++) cosines[f] = cosine(pole(prototypes, 2 * f, d), pole(prototypes, 2 * f + 1, d));
  cosines[F] = meanOfFinite(cosines.subarray(0, F));
  return cosines;
}

/**
 * The baseline, one a foundation, then the mean: its virtue against the vices of OTHER foundations and the other way round, from texts
 * of one foundation only, so that no text is on both sides.
 */
export function baselines({ ofOneFoundation: prototypes }: PrototypeDraw): Float64Array {
  const d = prototypes.length / K;
  const found = new Float64Array(F + 1);
  for (let f = 0; f < F; f++) {
    const cosines: number[] = [];
    for (let g = 0; g < F; g++)
      if (g !== f)
        cosines.push(
          cosine(pole(prototypes, 2 * f, d), pole(prototypes, 2 * g + 1, d)),
          cosine(pole(prototypes, 2 * f + 1, d), pole(prototypes, 2 * g, d)),
        );
    found[f] = meanOfFinite(cosines);
  }
  found[F] = meanOfFinite(found.subarray(0, F));
  return found;
}

/** All cosines between the ten prototypes; null where a pole has none. */
export function cosineMatrix({ prototypes }: PrototypeDraw): (number | null)[][] {
  const d = prototypes.length / K;
  return POLES.map((_, a) =>
    POLES.map((_, b) => {
      const value = a === b ? 1 : cosine(pole(prototypes, a, d), pole(prototypes, b, d));
      return Number.isNaN(value) || Number.isNaN(cosine(pole(prototypes, a, d), pole(prototypes, a, d))) ? null : value;
    }),
  );
}

/** Random halves of the texts as pairs of draws, dealt pole by pole so that each half of a small pole has its share. */
export function halvings(texts: JudgedTexts, observed: Draw, seed: number, times = 20): Draw[] {
  const n = texts.length;
  const weights = new Float32Array(K * n);
  texts.weights(observed, weights);
  return Array.from({ length: times }, (_, h) => {
    const first = new Uint16Array(n);
    // The texts of no pole are a pile of their own.
    const dealt = new Uint32Array(K + 1);
    for (const i of new Random(seed, 'halves', h).permutation(n)) {
      let own = 0;
      while (own < K && weights[own * n + i] === 0) own++;
      first[i] = dealt[own]++ % 2;
    }
    return [first, first.map((v) => 1 - v)].map((counts) => ({ ...observed, counts }));
  }).flat();
}

/**
 * Reliability of every pole's prototype: mean cosine of its two halves over the halvings, stepped up to full length by
 * Spearman-Brown, 2r / (1 + r); at or below 0, where that formula means nothing, the cosine itself.
 * @param halves prototypes of both halves of each halving, [2 * times][10, d]
 */
export function reliabilities(halves: Float32Array[]): Float64Array {
  const d = halves[0].length / K;
  const found = new Float64Array(K);
  for (let k = 0; k < K; k++) {
    const cosines: number[] = [];
    for (let h = 0; h + 1 < halves.length; h += 2) cosines.push(cosine(pole(halves[h], k, d), pole(halves[h + 1], k, d)));
    const r = meanOfFinite(cosines);
    found[k] = r > 0 ? (2 * r) / (1 + r) : r;
  }
  return found;
}

/** Puts analysis 1 together from its draws. */
export function categorical(
  cosines: DrawnStatistic,
  baseline: DrawnStatistic,
  matrix: (number | null)[][],
  reliability: Float64Array,
): Categorical {
  const perFoundation = Object.fromEntries(
    FOUNDATIONS.map((name, f) => {
      const [virtue, vice] = [reliability[2 * f], reliability[2 * f + 1]];
      const opposed = figure(cosines, f, { better: 'less', bounds: [-1, 1], whyEmpty: missingPoles(matrix, f) });
      return [
        name,
        {
          cosine: opposed,
          disattenuated: disattenuate(opposed, virtue, vice),
          reliability: { virtue: plain(virtue, POLES[2 * f]), vice: plain(vice, POLES[2 * f + 1]) },
          baseline: figure(baseline, f, {
            better: 'less',
            bounds: [-1, 1],
            whyEmpty: 'no texts of one foundation on both sides',
          }),
        },
      ];
    }),
  ) as Categorical['perFoundation'];
  return {
    mean: figure(cosines, F, { better: 'less', bounds: [-1, 1], whyEmpty: 'no foundation has prototypes of both poles' }),
    perFoundation,
    baseline: figure(baseline, F, { better: 'less', bounds: [-1, 1], whyEmpty: 'fewer than two foundations have prototypes' }),
    matrix,
  };
}

function disattenuate(opposed: Figure, virtue: number, vice: number): Figure {
  if (opposed.value === null) return empty(opposed.why ?? '');
  if (!(virtue > 0 && vice > 0)) return empty('a pole is not reliable with itself (split-half cosine at or below 0)');
  const ceiling = Math.sqrt(virtue * vice);
  if (Math.abs(opposed.value) > ceiling)
    return empty('the prototypes are too noisy to correct: the cosine exceeds their reliability');
  const scaled = (v: number) => Math.max(-1, Math.min(1, v / ceiling));
  return {
    value: opposed.value / ceiling,
    ...(opposed.ci95 && { ci95: [scaled(opposed.ci95[0]), scaled(opposed.ci95[1])] as [number, number] }),
  };
}

function plain(value: number, name: string): Figure {
  return Number.isFinite(value) ? { value } : empty(`too few texts of ${name} to halve`);
}

function missingPoles(matrix: (number | null)[][], f: number): string {
  const missing = [2 * f, 2 * f + 1].filter((k) => matrix[k][k] === null).map((k) => POLES[k]);
  return missing.length ? `no text with m > 0 for ${missing.join(' and ')}` : 'undefined';
}

const pole = (prototypes: Float32Array, k: number, d: number) => prototypes.subarray(k * d, (k + 1) * d);
