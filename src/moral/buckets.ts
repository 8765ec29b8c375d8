import type { Corpus } from './corpus.js';
import { FOUNDATIONS, type Foundation } from './foundation.js';

/** Rows by foundation, then virtue, vice or neutral, then level, written as the paper's published files write it ('0.125' ... '1.0', '0.0'). */
export type PaperBuckets = Record<Foundation, Record<'virtue' | 'vice' | 'neutral', Record<string, number>>>;

export function emptyBuckets(): PaperBuckets {
  return Object.fromEntries(FOUNDATIONS.map((f) => [f, { virtue: {}, vice: {}, neutral: {} }])) as PaperBuckets;
}

export function addToBucket(buckets: PaperBuckets, foundation: Foundation, signed: number, n = 1): void {
  const level = Math.abs(signed);
  const bucket = buckets[foundation][signed > 0 ? 'virtue' : signed < 0 ? 'vice' : 'neutral'];
  const key = Number.isInteger(level) ? level.toFixed(1) : String(level);
  bucket[key] = (bucket[key] ?? 0) + n;
}

/**
 * The sizes of a corpus's classes, in the shape of the paper's published buckets. Those are of its training split, which
 * was drawn over annotations and is not ours: what can be compared are totals over all splits, and the classes' shares.
 */
export function paperBuckets({ rows }: Corpus): PaperBuckets {
  const buckets = emptyBuckets();
  for (let i = 0; i < rows.length; i++) addToBucket(buckets, FOUNDATIONS[rows.foundation[i]], rows.signed[i]);
  return sortedLevels(buckets);
}

/** The same with the levels in rising order, so that equal counts are equal JSON. */
export function sortedLevels(buckets: PaperBuckets): PaperBuckets {
  const sorted = emptyBuckets();
  for (const foundation of FOUNDATIONS)
    for (const kind of ['virtue', 'vice', 'neutral'] as const)
      sorted[foundation][kind] = Object.fromEntries(
        Object.entries(buckets[foundation][kind]).sort(([a], [b]) => Number(a) - Number(b)),
      );
  return sorted;
}
