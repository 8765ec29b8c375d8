/** @file How well a_d, what the chosen latents say of a pole, follows what texts were judged. */
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { Ordering, spearman } from '../statistics/ranks.js';
import { bootstrapCounts, interval95, mean, meanOfFinite } from '../statistics/resampling.js';
import type { Judgments } from './aligned-texts.js';

const K = POLES.length;
/** Fewer texts than this say nothing about a rank correlation. */
const FEWEST = 5;

export interface ActivationFigures {
  /** Spearman of a_d with m_d over the pole's own texts and the neutrals of its foundation (docs/paper.md section 3.2), by pole; NaN where there are too few. */
  perPole: { n: number; before: number; after: number }[];
  /** Means over the poles, and their difference with an interval over texts. */
  mean: { before: number; after: number; rise: number; ci95?: [number, number] };
}

/** @param a a_d of the texts before and after alignment, [n, 10] */
export function activationFigures(
  judged: Judgments,
  a: { before: Float64Array; after: Float64Array },
  { bootstraps, seed }: { bootstraps: number; seed: number },
): ActivationFigures {
  const { n } = judged;
  const poles = POLES.map((_, pole) => {
    const among = textsOf(judged, pole);
    const column = (of: Float32Array | Float64Array) => new Ordering(Float64Array.from(among, (i) => of[i * K + pole]));
    return { among, m: column(judged.m), before: column(a.before), after: column(a.after) };
  }).map((pole) => ({ ...pole, enough: pole.among.length >= FEWEST }));
  const rise = (counts?: Uint16Array) =>
    meanOfFinite(
      poles.map(({ among, m, before, after, enough }) => {
        const weights = counts && Uint16Array.from(among, (i) => counts[i]);
        return enough ? spearman(after, m, weights) - spearman(before, m, weights) : Number.NaN;
      }),
    );
  const draws = Array.from({ length: bootstraps }, (_, b) => rise(bootstrapCounts(n, new Random(seed, 'activation', b))));
  const perPole = poles.map(({ among, m, before, after, enough }) => ({
    n: among.length,
    before: enough ? spearman(before, m) : Number.NaN,
    after: enough ? spearman(after, m) : Number.NaN,
  }));
  const both = perPole.filter(({ before, after }) => Number.isFinite(before) && Number.isFinite(after));
  const of = (side: 'before' | 'after') => mean(both.map((pole) => pole[side]));
  const risen = of('after') - of('before');
  const ci95 = interval95(risen, draws, [-2, 2]);
  return { perPole, mean: { before: of('before'), after: of('after'), rise: risen, ...(ci95 && { ci95 }) } };
}

function textsOf({ n, m, tagged }: Judgments, pole: number): number[] {
  const among: number[] = [];
  for (let i = 0; i < n; i++)
    if (tagged[i * FOUNDATIONS.length + (pole >> 1)] && (m[i * K + pole] > 0 || m[i * K + (pole ^ 1)] === 0)) among.push(i);
  return among;
}
