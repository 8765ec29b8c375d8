import { type Direction, mean, permutationP, standardDeviation } from '../statistics/resampling.js';

/** One statistic at one layer (of one pole, or the mean): as observed and under each permutation. */
export interface Column {
  observed: number;
  permuted: Float64Array;
}

/** A column that more than this share of the permutations leave without a value is left out. */
const MOST_EMPTY = 0.05;

/**
 * p of the largest statistic among many layers and poles against the largest one of each permutation (max-T, Westfall and Young). Each
 * column is measured in standard deviations of its own null, since small poles scatter more; the observed value counts as a draw of it, so
 * that observed and permuted maxima are exchangeable under the null. Permutation b must be the same relabelling in every column. Columns
 * without a value are left out; undefined where none is left.
 */
export function maximumP(columns: Column[], direction: Direction): number | undefined {
  const sign = direction === 'greater' ? 1 : -1;
  let observed = Number.NEGATIVE_INFINITY;
  let draws: Float64Array | undefined;
  for (const { observed: value, permuted } of columns) {
    const known = Float64Array.of(value, ...permuted).filter(Number.isFinite);
    const [centre, spread] = [mean(known), standardDeviation(known)];
    const empty = permuted.length + 1 - known.length;
    if (!Number.isFinite(value) || empty > MOST_EMPTY * permuted.length || !(spread > 0)) continue;
    observed = Math.max(observed, (sign * (value - centre)) / spread);
    draws ??= new Float64Array(permuted.length).fill(Number.NEGATIVE_INFINITY);
    for (let b = 0; b < draws.length; b++)
      if (Number.isFinite(permuted[b])) draws[b] = Math.max(draws[b], (sign * (permuted[b] - centre)) / spread);
  }
  return draws && permutationP(observed, draws, 'greater');
}
