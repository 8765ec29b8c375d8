import { Random } from '../../random.js';
import { bootstrapCounts, interval95 } from '../../statistics/resampling.js';
import type { EvalFigure } from './schema.js';

/** A statistic of sums over texts. */
export interface SumStatistic<Column extends string> {
  of: (sums: Readonly<Record<Column, number>>) => number;
  /** What to say where it is no number. */
  whyEmpty: string;
  bounds?: readonly [number, number];
}

/**
 * Sums of several quantities text by text, fp64: a ratio of totals has an interval by drawing texts again. The unit of every
 * statistic is the text.
 */
export class TextSums<Column extends string> {
  constructor(
    private readonly columns: readonly Column[],
    private readonly texts: number,
    /** [texts, columns] */
    readonly sums = new Float64Array(texts * columns.length),
  ) {}

  /** @param values one a column */
  add(text: number, values: ArrayLike<number>): void {
    const { columns, sums } = this;
    for (let c = 0, at = text * columns.length; c < columns.length; c++, at++) sums[at] += values[c];
  }

  addTo(text: number, column: Column, value: number): void {
    this.sums[text * this.columns.length + this.columns.indexOf(column)] += value;
  }

  totals(): Record<Column, number> {
    return this.weighted(undefined);
  }

  /** Texts with something in the first column, which counts. */
  present(): Int32Array {
    const all = Int32Array.from({ length: this.texts }, (_, text) => text);
    return all.filter((text) => this.sums[text * this.columns.length] > 0);
  }

  /** Each statistic with its bootstrap interval over the texts that are present. */
  figures<Name extends string>(
    statistics: Readonly<Record<Name, SumStatistic<Column>>>,
    { bootstraps, seed }: { bootstraps: number; seed: number },
  ): Record<Name, EvalFigure> {
    const present = this.present();
    const totals = this.totals();
    const draws = present.length < 2 ? 0 : bootstraps;
    const resampled = Array.from({ length: draws }, (_, b) => {
      const counts = bootstrapCounts(present.length, new Random(seed, 'texts', b));
      const weights = new Uint16Array(this.texts);
      present.forEach((text, i) => {
        weights[text] = counts[i];
      });
      return this.weighted(weights);
    });
    const entries = (Object.entries(statistics) as [Name, SumStatistic<Column>][]).map(([name, { of, whyEmpty, bounds }]) => {
      const value = of(totals);
      if (!Number.isFinite(value)) return [name, { value: null, why: whyEmpty }] as const;
      const values = resampled.map(of).filter(Number.isFinite);
      const ci95 = interval95(value, values, bounds);
      return [name, { value, ...(ci95 && { ci95 }) }] as const;
    });
    return Object.fromEntries(entries) as Record<Name, EvalFigure>;
  }

  private weighted(weights: Uint16Array | undefined): Record<Column, number> {
    const { columns, sums, texts } = this;
    const width = columns.length;
    const totals = new Float64Array(width);
    for (let text = 0; text < texts; text++) {
      const weight = weights ? weights[text] : 1;
      if (weight === 0) continue;
      for (let c = 0, at = text * width; c < width; c++, at++) totals[c] += weight * sums[at];
    }
    return Object.fromEntries(columns.map((column, c) => [column, totals[c]])) as Record<Column, number>;
  }
}
