/** @file Our rule of docs/paper.md section 6: texts of one fold choose, those of another judge. */
import type { MatMul } from '../graph/matmul.js';
import { benjaminiHochberg } from '../statistics/false-discovery.js';
import { correlations, type SparseColumns } from '../statistics/sparse-columns.js';
import type { MoralTargets } from './moral-targets.js';
import { type PermutationOptions, permutationTest } from './permutation.js';

/** Variables (latents, channels) on the texts of a fold, and the judgments of these. */
export interface Fold {
  name: string;
  columns: SparseColumns;
  targets: MoralTargets;
}

export interface ScreenOptions {
  /** Poles to screen, indices into POLES. */
  poles: readonly number[];
  /** False discovery rate of a pole. */
  level: number;
  /** |r| that a latent needs on both folds. */
  minEffect: number;
  permutations: number;
  seed: number;
  signal?: AbortSignal | undefined;
  onBlock?: PermutationOptions['onBlock'];
}

/** A latent that one fold chose for a pole, on the texts of the other. */
export interface ScreenedPair {
  latent: number;
  pole: number;
  /** Index of the fold it was judged on. */
  judgedOn: number;
  /** r on the fold that chose it. */
  chosenBy: number;
  /** r on the other. */
  r: number;
  /** Of r, judgments exchanged among all texts. */
  p: number;
  /** Of r at the pole's false discovery rate: `screen` says how. */
  q: number;
}

/** Texts of either fold that a variable must be active on: r of fewer is that of a few texts. */
export const FEWEST_ACTIVE = 10;
/** Variables that a fold may choose for a pole: the strongest. */
const MOST_CHOSEN = 1000;

/**
 * For every pole the variables with |r| >= minEffect on the first fold, active on 10 texts of each, are tested on the second, and where `crossFit` holds the other
 * way round as well. q is that of Benjamini and Hochberg over the variables tested for the pole; one whose r on the judging fold has
 * the other sign, or lies below minEffect, goes in with p = 1, which leaves the rate controlled. Cross-fitted, each direction has
 * half the rate (q is doubled): of the union of both the rate is at most their sum.
 * @param m what was judged of the texts of each fold, [10][texts]; several sets share the permutations
 * @returns the tested pairs of each set
 */
export async function screen(
  folds: readonly [Fold, Fold],
  sets: readonly (readonly [readonly Float32Array[], readonly Float32Array[]])[],
  crossFit: boolean,
  matmul: MatMul,
  { poles, minEffect, permutations, seed, signal, onBlock }: ScreenOptions,
): Promise<ScreenedPair[][]> {
  const found: ScreenedPair[][] = sets.map(() => []);
  // Which texts a variable is active on says nothing of how they were judged, so this choice may look at both folds.
  const active = activeOnBoth(folds);
  for (const [chooser, judge] of crossFit ? [[0, 1] as const, [1, 0] as const] : [[0, 1] as const]) {
    const chosen = sets.map((m) => {
      const by = correlations(folds[chooser].columns, m[chooser]);
      const on = correlations(folds[judge].columns, m[judge]);
      return poles.flatMap((pole) =>
        strongest(by, pole, m[chooser].length, minEffect, active).map((latent) => {
          const at = latent * m[chooser].length + pole;
          return { latent, pole, judgedOn: judge, chosenBy: by[at], r: on[at] };
        }),
      );
    });
    const { p } = await permutationTest(folds[judge].columns, folds[judge].targets, chosen.flat(), matmul, {
      exchange: 'texts',
      permutations,
      seed,
      name: folds[judge].name,
      signal,
      onBlock,
    });
    let next = 0;
    chosen.forEach((pairs, set) => {
      found[set].push(...judged(pairs, p.subarray(next, next + pairs.length), crossFit ? 2 : 1, minEffect));
      next += pairs.length;
    });
  }
  return found;
}

/** The variables that are active on enough texts of each fold. */
export function activeOnBoth(folds: readonly [Fold, Fold]): number[] {
  const all = Array.from({ length: folds[0].columns.width }, (_, variable) => variable);
  return all.filter((variable) => folds.every(({ columns }) => columns.count(variable) >= FEWEST_ACTIVE));
}

/** The variables with the largest |r| of a pole, at least `minEffect`, in falling order. */
function strongest(r: Float64Array, pole: number, poles: number, minEffect: number, among: readonly number[]): number[] {
  const size = (latent: number) => Math.abs(r[latent * poles + pole]);
  return among
    .filter((latent) => size(latent) >= minEffect)
    .sort((a, b) => size(b) - size(a) || a - b)
    .slice(0, MOST_CHOSEN);
}

function judged(
  pairs: readonly Omit<ScreenedPair, 'p' | 'q'>[],
  p: Float64Array,
  directions: number,
  minEffect: number,
): ScreenedPair[] {
  const q = new Float64Array(pairs.length);
  for (const pole of new Set(pairs.map((pair) => pair.pole))) {
    const of = [...pairs.keys()].filter((i) => pairs[i].pole === pole);
    const holds = (i: number) => Math.abs(pairs[i].r) >= minEffect && pairs[i].r * pairs[i].chosenBy > 0;
    benjaminiHochberg(of.map((i) => (holds(i) ? p[i] : 1))).forEach((value, i) => {
      q[of[i]] = Math.min(1, directions * value);
    });
  }
  return pairs.map((pair, i) => ({ ...pair, p: p[i], q: q[i] }));
}

/** The pairs that survive, each latent and pole once: the direction with the smaller q. */
export function survivors(pairs: readonly ScreenedPair[], level: number): ScreenedPair[] {
  const best = new Map<string, ScreenedPair>();
  for (const pair of pairs) {
    if (pair.q > level) continue;
    const key = `${pair.latent}/${pair.pole}`;
    const known = best.get(key);
    if (!known || pair.q < known.q) best.set(key, pair);
  }
  return [...best.values()].sort((a, b) => a.pole - b.pole || a.q - b.q || Math.abs(b.r) - Math.abs(a.r) || a.latent - b.latent);
}

/** Quantiles of the standard normal: .8416 is the 80% one. */
const NORMAL_80 = 0.8416212335729143;

/**
 * The |r| that a single latent would have shown with 80% power among those tested for a pole, if no other survived: under permutation
 * r has a standard deviation of exactly 1 / sqrt(n - 1), and is taken to be normal.
 * @param tested latents tested for the pole in one direction
 */
export function detectableR(n: number, tested: number, level: number, permutations: number): number {
  const alpha = Math.max(level / Math.max(1, tested), 1 / (1 + permutations));
  return Math.min(1, (normalQuantile(1 - alpha / 2) + NORMAL_80) / Math.sqrt(n - 1));
}

/** Inverse of the standard normal's distribution function (bisection over a rational approximation of erfc, error below 2e-7). */
function normalQuantile(share: number): number {
  let [low, high] = [-40, 40];
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (1 - upperTail(middle) < share) low = middle;
    else high = middle;
  }
  return low;
}

/** P(Z > x): Abramowitz and Stegun 26.2.17. */
function upperTail(x: number): number {
  if (x < 0) return 1 - upperTail(-x);
  const t = 1 / (1 + 0.2316419 * x);
  const polynomial = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (polynomial * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}
