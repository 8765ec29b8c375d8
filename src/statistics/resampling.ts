import type { Random } from '../random.js';
import type { Values } from './ranks.js';

/** The quantile at `share` in [0, 1] of values in ascending order: linear between order statistics (type 7, numpy's default). */
export function quantileSorted(sorted: Values, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/** Quantiles (type 7) of the values that are not NaN; NaN where none is left. */
export function quantiles(values: Values, shares: readonly number[]): number[] {
  const sorted = finite(values).sort();
  return shares.map((share) => quantileSorted(sorted, share));
}

function finite(values: Values): Float64Array {
  return Float64Array.from(values).filter((value) => !Number.isNaN(value));
}

/** One bootstrap sample of `n` texts: how often each was drawn, with `n` draws in all. */
export function bootstrapCounts(n: number, random: Random): Uint16Array {
  const counts = new Uint16Array(n);
  for (let i = 0; i < n; i++) counts[random.below(n)]++;
  return counts;
}

/**
 * Percentile interval, recentred: bootstrap draws of a statistic such as a cosine or a maximum are shifted as a whole
 * (copies of a text sharpen a prototype less than new texts would), so their quantiles are taken around the draws' mean and
 * set around the estimate. NaN draws (a resample in which the statistic could not be computed) are left out.
 * Undefined with fewer than 20 draws.
 */
export function interval95(
  estimate: number,
  draws: Values,
  bounds: readonly [number, number] = [-Infinity, Infinity],
): [number, number] | undefined {
  const sorted = finite(draws).sort();
  if (sorted.length < 20 || Number.isNaN(estimate)) return undefined;
  const shift = estimate - mean(sorted);
  const clamp = (x: number) => Math.max(bounds[0], Math.min(bounds[1], x));
  return [clamp(quantileSorted(sorted, 0.025) + shift), clamp(quantileSorted(sorted, 0.975) + shift)];
}

/** Which way the statistic moves when the model tells the classes apart. */
export type Direction = 'greater' | 'less';

/** Permutation p, one-sided: (1 + draws at least as extreme as the value) / (1 + draws). NaN draws are left out. */
export function permutationP(value: number, nullDraws: Values, direction: Direction): number {
  const draws = finite(nullDraws);
  let hits = 0;
  // Permuted sums come in another order than the true one: equal up to rounding counts as equal.
  const slack = 1e-12 * Math.max(1, Math.abs(value));
  for (const draw of draws) if (direction === 'greater' ? draw >= value - slack : draw <= value + slack) hits++;
  return (1 + hits) / (1 + draws.length);
}

/** What a null distribution amounts to; quantiles of type 7. NaN draws are left out; undefined where none is left. */
export function summariseNull(draws: Values): { mean: number; q025: number; q975: number } | undefined {
  const sorted = finite(draws).sort();
  if (sorted.length === 0) return undefined;
  return { mean: mean(sorted), q025: quantileSorted(sorted, 0.025), q975: quantileSorted(sorted, 0.975) };
}

const NORMAL_80 = 0.8416212335729143;

/**
 * The value from which this sample would have shown an effect at p < .05, one-sided, with 80% power: the null's 5% critical
 * value and .8416 of its standard deviations beyond (the statistic is taken to scatter under the effect as under the null).
 */
export function detectable(nullDraws: Values, direction: Direction): number {
  const sorted = finite(nullDraws).sort();
  const spread = NORMAL_80 * standardDeviation(sorted);
  return direction === 'greater' ? quantileSorted(sorted, 0.95) + spread : quantileSorted(sorted, 0.05) - spread;
}

/** Arithmetic mean; NaN of nothing. */
export function mean(values: Values): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** Arithmetic mean of the values that are finite; NaN where none is. */
export function meanOfFinite(values: Values): number {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < values.length; i++)
    if (Number.isFinite(values[i])) {
      sum += values[i];
      count++;
    }
  return count > 0 ? sum / count : Number.NaN;
}

/** Standard deviation with n - 1; NaN of fewer than two values. */
export function standardDeviation(values: Values): number {
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] - centre) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}
