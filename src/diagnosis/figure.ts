import { type Direction, detectable, interval95, permutationP, summariseNull } from '../statistics/resampling.js';
import type { Figure } from './schema.js';

/** Several statistics of one analysis as observed, under every permutation and under every bootstrap draw. NaN: not computable. */
export interface DrawnStatistic {
  observed: Float64Array;
  /** One entry a draw, each as long as `observed`. */
  permuted: Float64Array[];
  resampled: Float64Array[];
}

export interface FigureOptions {
  /** Where the statistic goes when the model tells the classes apart. */
  better: Direction;
  bounds: readonly [number, number];
  /** What to say where there is no value. */
  whyEmpty: string;
}

/** Statistic `index` as a figure: value, bootstrap interval, null, permutation p, and the effect this sample could have shown. */
export function figure(statistic: DrawnStatistic, index: number, { better, bounds, whyEmpty }: FigureOptions): Figure {
  const value = statistic.observed[index];
  if (!Number.isFinite(value)) return empty(whyEmpty);
  const ci95 = interval95(value, column(statistic.resampled, index), bounds);
  const drawn = column(statistic.permuted, index).filter(Number.isFinite);
  const nullOf = summariseNull(drawn);
  // A statistic that no relabelling moves could not have shown anything.
  const shown = drawn.some((draw) => draw !== drawn[0]) ? detectable(drawn, better) : Number.NaN;
  return {
    value,
    ...(ci95 && { ci95 }),
    ...(nullOf && {
      null: nullOf,
      p: permutationP(value, drawn, better),
      ...(shown > bounds[0] && shown < bounds[1] && { detectable: shown }),
    }),
  };
}

/** A figure's value; null where it is no number. */
export const finite = (value: number) => (Number.isFinite(value) ? value : null);

/** A cell without a value, and why. */
export const empty = (why: string): Figure => ({ value: null, why });

/** All draws of one statistic. */
export function column(draws: Float64Array[], index: number): Float64Array {
  return Float64Array.from(draws, (draw) => draw[index]);
}
