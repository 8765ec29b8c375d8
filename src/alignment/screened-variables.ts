/** @file Both rules of docs/paper.md section 6 on one set of variables: latents, channels, random directions. */
import { halveTexts } from '../diagnosis/split.js';
import type { MatMul } from '../graph/matmul.js';
import { POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { bootstrapCounts, interval95, mean } from '../statistics/resampling.js';
import { correlations, type SparseColumns } from '../statistics/sparse-columns.js';
import type { PaperCounts, Screening } from './features-schema.js';
import type { MoralTargets } from './moral-targets.js';
import { paperClass, paperFineTuned } from './paper-rules.js';
import { activeOnBoth, detectableR, type Fold, type ScreenedPair, type ScreenOptions, screen, survivors } from './screening.js';

export const FOLDS = ['A', 'B'] as const;

/** The texts, their halves, and what is the same for every set of variables. */
export interface ScreeningDesign {
  targets: MoralTargets;
  /** Positions among the judged texts. */
  halves: readonly [Int32Array, Int32Array];
  halfTargets: readonly [MoralTargets, MoralTargets];
  crossFit: boolean;
  options: ScreenOptions;
  bootstraps: number;
}

export interface ScreenedVariables {
  folds: readonly [Fold, Fold];
  /** On all texts, [width, 10]: what the paper's rules take. */
  r: Float64Array;
  pairs: ScreenedPair[];
  screening: Screening;
  /** The same rules on exchanged moral vectors, one entry an exchange. */
  permuted: { pairs: number; survivors: number; mono: number; fineTuned: number }[];
}

export function halvesOf(targets: MoralTargets, seed: number): Pick<ScreeningDesign, 'halves' | 'halfTargets'> {
  const halves = halveTexts(targets.length, seed);
  return { halves, halfTargets: [targets.on(halves[0]), targets.on(halves[1])] };
}

/** @param columns of the judged texts @param permutedVectors exchanges of whole moral vectors that are screened beside the true ones */
export async function screenVariables(
  columns: SparseColumns,
  design: ScreeningDesign,
  matmul: MatMul,
  permutedVectors = 0,
): Promise<ScreenedVariables> {
  const { targets, halves, halfTargets, crossFit, options } = design;
  const fold = (i: 0 | 1): Fold => ({ name: FOLDS[i], columns: columns.on(halves[i]), targets: halfTargets[i] });
  const folds = [fold(0), fold(1)] as const;
  const exchanged = Array.from({ length: permutedVectors }, (_, b) => {
    const of = (i: 0 | 1) => {
      const from = halfTargets[i].exchanged('texts', new Random(options.seed, 'permuted vectors', FOLDS[i], b));
      return halfTargets[i].m.map((m) => Float32Array.from(from, (text) => m[text]));
    };
    return [of(0), of(1)] as const;
  });
  const [pairs, ...nulls] = await screen(folds, [[halfTargets[0].m, halfTargets[1].m], ...exchanged], crossFit, matmul, options);
  const r = correlations(columns, targets.m);
  const found = survivors(pairs, options.level);
  return {
    folds,
    r,
    pairs,
    screening: {
      width: columns.width,
      active: activeOnBoth(folds).length,
      l0: columns.values.length / columns.n,
      paper: paperCounts(r),
      perPole: byPole((pole) => (options.poles.includes(pole) ? poleCounts(pole, pairs, found, design) : null)),
      tested: pairs.length,
      pairs: found.length,
      survivors: new Set(found.map(({ latent }) => latent)).size,
      best: bestOfPoles(folds, design),
    },
    permuted: nulls.map((drawn, b) => {
      const surviving = survivors(drawn, options.level);
      const { mono, fineTuned } = paperCounts(correlations(columns, whole(exchanged[b], halves, targets.length)));
      return { pairs: surviving.length, survivors: new Set(surviving.map(({ latent }) => latent)).size, mono, fineTuned };
    }),
  };
}

/** The moral vectors of both halves, text by text in the order of all. */
function whole(
  parts: readonly [readonly Float32Array[], readonly Float32Array[]],
  halves: ScreeningDesign['halves'],
  n: number,
): Float32Array[] {
  return POLES.map((_, pole) => {
    const m = new Float32Array(n);
    halves.forEach((half, i) => {
      half.forEach((position, at) => {
        m[position] = parts[i][pole][at];
      });
    });
    return m;
  });
}

function paperCounts(r: Float64Array): PaperCounts {
  const counts = { weak: 0, mono: 0, poly: 0, fineTuned: paperFineTuned(r, POLES.length).size };
  for (let at = 0; at < r.length; at += POLES.length) counts[paperClass(r.subarray(at, at + POLES.length))]++;
  return counts;
}

function poleCounts(
  pole: number,
  pairs: readonly ScreenedPair[],
  found: readonly ScreenedPair[],
  { halves, crossFit, options: { level, permutations } }: ScreeningDesign,
) {
  const tested = pairs.filter((pair) => pair.pole === pole);
  const detectable = [0, 1].map((fold) =>
    detectableR(
      halves[fold].length,
      tested.filter(({ judgedOn }) => judgedOn === fold).length,
      crossFit ? level / 2 : level,
      permutations,
    ),
  );
  return {
    tested: tested.length,
    survivors: found.filter((pair) => pair.pole === pole).length,
    detectable: crossFit ? Math.max(...detectable) : detectable[1],
  };
}

/** Of each pole the variable with the largest |r| on the first fold, measured on the second. */
function bestOfPoles(folds: readonly [Fold, Fold], { options: { poles, seed }, bootstraps }: ScreeningDesign): Screening['best'] {
  const [chooser, judge] = folds;
  const by = correlations(chooser.columns, chooser.targets.m);
  const active = activeOnBoth(folds);
  const best = poles.map((pole) => largest(by, pole, active)).filter(({ index }) => index >= 0);
  const columns = judge.columns.only(best.map(({ index }) => index));
  const on = correlations(columns, judge.targets.m);
  const draws = bootstrapCorrelations(judge, columns, { bootstraps, seed });
  return byPole((pole) => {
    const i = best.findIndex((one) => one.pole === pole);
    if (i < 0) return null;
    const at = i * POLES.length + pole;
    const ci95 = interval95(
      on[at],
      Float64Array.from(draws, (draw) => draw[at]),
      [-1, 1],
    );
    return { index: best[i].index, chosenBy: best[i].r, r: numberOrNull(on[at]), ...(ci95 && { ci95 }) };
  });
}

function largest(r: Float64Array, pole: number, among: readonly number[]): { pole: number; index: number; r: number } {
  const best = { pole, index: -1, r: 0 };
  for (const index of among) {
    const value = r[index * POLES.length + pole];
    if (Math.abs(value) > Math.abs(best.r)) Object.assign(best, { index, r: value });
  }
  return best;
}

/** r of some variables with every pole, [variables, 10], under each bootstrap draw of a fold's texts. */
export function bootstrapCorrelations(
  { name, targets }: Fold,
  columns: SparseColumns,
  { bootstraps, seed }: { bootstraps: number; seed: number },
): Float64Array[] {
  return Array.from({ length: bootstraps }, (_, b) =>
    correlations(columns, targets.m, bootstrapCounts(targets.length, new Random(seed, 'bootstrap', name, b))),
  );
}

export function byPole<T>(of: (pole: number) => T): Record<(typeof POLES)[number], T> {
  return Object.fromEntries(POLES.map((pole, i) => [pole, of(i)])) as Record<(typeof POLES)[number], T>;
}

export const numberOrNull = (value: number) => (Number.isFinite(value) ? value : null);

/** Mean and largest of what the exchanges gave. */
export function spread(values: readonly number[]): { mean: number; max: number } {
  return { mean: mean(values), max: Math.max(...values) };
}
