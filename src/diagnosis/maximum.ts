import { type Direction, mean, permutationP, standardDeviation } from '../statistics/resampling.js';

/** One statistic at one layer (of one pole, or the mean): as observed and under each permutation. */
export interface Column {
  observed: number;
  permuted: Float64Array;
}

/**
 * p of the largest statistic among many layers and poles against the largest one of each permutation (max-T, Westfall and Young). Each
 * column is measured in standard deviations of its own null, since small poles scatter more. Permutation b must be the same relabelling in
 * every column. Columns without a value are left out; undefined where none is left.
 */
export function maximumP(columns: Column[], direction: Direction): number | undefined {
  const sign = direction === 'greater' ? 1 : -1;
  let observed = Number.NEGATIVE_INFINITY;
  let draws: Float64Array | undefined;
  for (const { observed: value, permuted } of columns) {
    const [centre, spread] = [mean(permuted), standardDeviation(permuted)];
    if (!Number.isFinite(value) || !(spread > 0)) continue;
    observed = Math.max(observed, (sign * (value - centre)) / spread);
    draws ??= new Float64Array(permuted.length).fill(Number.NEGATIVE_INFINITY);
    for (let b = 0; b < draws.length; b++) draws[b] = Math.max(draws[b], (sign * (permuted[b] - centre)) / spread);
  }
  return draws && permutationP(observed, draws, 'greater');
}
