import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { argsort, auc, averageRanks, Ordering, pearson, spearman } from './ranks.js';

interface Case {
  x: number[];
  y: number[];
  weights: number[];
  labels: number[];
  ranks: number[];
  pearson: number;
  spearman: number;
  spearmanWeighted: number;
  auc: number;
  aucWeighted: number;
}
const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));

describe('against scipy and scikit-learn', () => {
  test.each((golden.ranks as Case[]).map((c) => [c.x.length, c] as const))('%i items, with ties', (_, c) => {
    const weights = Uint16Array.from(c.weights);
    expect([...averageRanks(c.x)]).toEqual(c.ranks);
    // float32 on scipy's side, decimals here
    expect(pearson(Float32Array.from(c.x), Float32Array.from(c.y))).toBeCloseTo(c.pearson, 6);
    expect(spearman(c.x, c.y)).toBeCloseTo(c.spearman, 12);
    expect(spearman(c.x, c.y, weights)).toBeCloseTo(c.spearmanWeighted, 12);
    expect(spearman(new Ordering(c.x), new Ordering(c.y), weights)).toBe(spearman(c.x, c.y, weights));
    expect(auc(c.x, c.labels)).toBeCloseTo(c.auc, 12);
    expect(auc(c.x, c.labels, weights)).toBeCloseTo(c.aucWeighted, 12);
  });
});

test('argsort is stable and sorts', () => {
  const random = new Random(1, 'argsort');
  for (const n of [0, 1, 2, 11, 12, 13, 25, 200, 999]) {
    const values = Float64Array.from({ length: n }, () => random.below(n / 3 + 1) - 5);
    const expected = Array.from({ length: n }, (_, i) => i).sort((a, b) => values[a] - values[b] || a - b);
    expect([...argsort(values)]).toEqual(expected);
  }
});

describe('where there is no answer', () => {
  test('a constant side gives NaN', () => {
    expect(spearman([1, 1, 1], [1, 2, 3])).toBeNaN();
    expect(spearman([1, 2, 2], [1, 2, 3], Uint8Array.of(0, 2, 1))).toBeNaN();
    expect(spearman([], [])).toBeNaN();
  });
  test('a NaN is not ranked as if it were a number', () => {
    expect(spearman([1, Number.NaN, 3, 0], [1, 2, 3, 4])).toBeNaN();
    expect(auc([1, Number.NaN, 3, 0], [0, 1, 1, 0])).toBeNaN();
  });
  test('an empty class gives NaN', () => expect(auc([1, 2, 3], [1, 1, 1])).toBeNaN());
  test('labels other than 0 and 1 are left out', () => expect(auc([1, 9, 3, -9], [0, 2, 1, -1])).toBe(1));
});
