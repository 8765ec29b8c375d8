import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { hdbscan } from './hdbscan.js';
import { adjustedRandIndex, Partition } from './partition.js';
import { mutualReachabilityTree } from './spanning-tree.js';

interface Case {
  name: string;
  d: number;
  x: number[];
  minClusterSize: number;
  minSamples: number;
  labels: number[];
  labelsStock: number[];
}
const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));
const cases = (golden.hdbscan as Case[]).map((c) => [c.name, c] as const);
const total = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);

describe('against scikit-learn', () => {
  test.each(cases)('%s', (name, c) => {
    const labels = hdbscan(Float32Array.from(c.x), c.labels.length, c.d, c);
    // The reference sorts equal edges stably; on a lattice, where most edges are equal, the stock sort goes another way.
    expect([...labels]).toEqual(c.labels);
    if (name !== 'lattice') expect(labels.filter((label, i) => label !== c.labelsStock[i]).length).toBeLessThanOrEqual(1);
  });
});

describe.each(cases)('%s', (name, c) => {
  const n = c.labels.length;
  const x = Float32Array.from(c.x);

  test('distances on the fly give the same tree as a matrix of them', () => {
    expect(mutualReachabilityTree(x, n, c.d, c.minSamples, 0)).toEqual(mutualReachabilityTree(x, n, c.d, c.minSamples));
  });

  test('the tree spans all points at the least total weight, in any order of the points', () => {
    const order = new Random(1, name).permutation(n);
    const shuffled = new Float32Array(x.length);
    order.forEach((from, to) => {
      shuffled.set(x.subarray(from * c.d, (from + 1) * c.d), to * c.d);
    });
    const tree = mutualReachabilityTree(x, n, c.d, c.minSamples);
    expect(new Set([...tree.from, ...tree.to]).size).toBe(n);
    expect(total(mutualReachabilityTree(shuffled, n, c.d, c.minSamples).weight)).toBeCloseTo(total(tree.weight), 8);
    if (name === 'lattice') return; // equal edges: the order of the points decides
    const labels = hdbscan(shuffled, n, c.d, c);
    expect(adjustedRandIndex(new Partition(labels), new Partition(order.map((from) => c.labels[from])))).toBeGreaterThan(0.97);
  });

  test('moving and scaling by powers of two changes nothing', () => {
    expect([
      ...hdbscan(
        x.map((v) => v * 4),
        n,
        c.d,
        c,
      ),
    ]).toEqual(c.labels);
  });
});

test('columns in plenty are given up early, and rightly', () => {
  const random = new Random(4, 'columns');
  const [n, d] = [150, 70];
  const x = Float32Array.from(
    { length: n * d },
    (_, at) => ((at % d) + 1) ** -0.7 * random.normal() + (at < (n * d) / 2 ? 2 : 0),
  );
  expect(mutualReachabilityTree(x, n, d, 5, 0)).toEqual(mutualReachabilityTree(x, n, d, 5));
});

test('few points', () => {
  expect([...hdbscan(Float32Array.of(1, 2), 1, 2, { minClusterSize: 2, minSamples: 1 })]).toEqual([-1]);
  expect([...hdbscan(Float32Array.of(1, 2), 2, 1, { minClusterSize: 2, minSamples: 2 })]).toEqual([-1, -1]);
  expect(() => hdbscan(Float32Array.of(1, 2), 2, 1, { minClusterSize: 2, minSamples: 3 })).toThrow(RangeError);
  expect([...hdbscan(new Float32Array(20).fill(3), 20, 1, { minClusterSize: 5, minSamples: 3 })]).toHaveLength(20);
});
