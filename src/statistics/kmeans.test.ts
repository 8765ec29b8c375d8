import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Random } from '../random.js';
import { kMeans } from './kmeans.js';
import { adjustedRandIndex, Partition } from './partition.js';

const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));

test('well separated blobs as scikit-learn', () => {
  const { x, d, k, inertia, labels } = golden.kmeans as { x: number[]; d: number; k: number; inertia: number; labels: number[] };
  const found = kMeans(Float32Array.from(x), labels.length, d, k, new Random(1, 'kmeans'));
  expect(found.inertia).toBeCloseTo(inertia, 6);
  expect(adjustedRandIndex(new Partition(found.labels), new Partition(labels))).toBe(1);
});

test('no point is nearer to another centre, and centres are the means of their points', () => {
  const random = new Random(2, 'cloud');
  const [n, d, k] = [300, 7, 9];
  const x = Float32Array.from({ length: n * d }, () => random.normal());
  const { labels, inertia, centres } = kMeans(x, n, d, k, random);
  const squared = (i: number, c: number) => {
    let sum = 0;
    for (let j = 0; j < d; j++) sum += (x[i * d + j] - centres[c * d + j]) ** 2;
    return sum;
  };
  let total = 0;
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < k; c++) expect(squared(i, labels[i])).toBeLessThanOrEqual(squared(i, c) + 1e-9);
    total += squared(i, labels[i]);
  }
  expect(inertia).toBeCloseTo(total, 8);
  for (let c = 0; c < k; c++) {
    const own = [...labels.keys()].filter((i) => labels[i] === c);
    for (let j = 0; j < d; j++)
      expect(own.reduce((sum, i) => sum + x[i * d + j], 0) / own.length).toBeCloseTo(centres[c * d + j], 9);
  }
});

test('the same seed gives the same clusters; copies and k = n do no harm', () => {
  const x = Float32Array.from({ length: 60 }, (_, i) => i % 3);
  const run = () => kMeans(x, 60, 1, 5, new Random(3, 'copies'));
  expect(run()).toEqual(run());
  expect(run().inertia).toBe(0);
  expect(kMeans(Float32Array.of(1, 5, 9), 3, 1, 3, new Random(3)).inertia).toBe(0);
  expect(() => kMeans(x, 60, 1, 61, new Random(3))).toThrow(RangeError);
});
