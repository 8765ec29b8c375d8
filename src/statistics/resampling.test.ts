import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Random } from '../random.js';
import {
  bootstrapCounts,
  detectable,
  interval95,
  permutationP,
  quantiles,
  standardDeviation,
  summariseNull,
} from './resampling.js';

const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));

test('quantiles as numpy', () => {
  const { values, shares, quantiles: expected } = golden.quantiles;
  const ours = quantiles(Float32Array.from(values), shares);
  for (let i = 0; i < expected.length; i++) expect(ours[i]).toBeCloseTo(expected[i], 12);
  expect(quantiles([], [0.5])).toEqual([Number.NaN]);
});

test('bootstrap counts draw n texts', () => {
  const counts = bootstrapCounts(90, new Random(5, 'bootstrap'));
  expect(counts.length).toBe(90);
  expect(counts.reduce((a, b) => a + b)).toBe(90);
  // About 1/e of the texts are not drawn.
  const left = counts.filter((count) => count === 0).length;
  expect(left).toBeGreaterThan(20);
  expect(left).toBeLessThan(46);
});

test('p counts the value itself among the draws, and ties up to rounding', () => {
  const draws = [0.1, 0.2, 0.3, 0.4];
  expect(permutationP(0.3, draws, 'greater')).toBe(3 / 5);
  expect(permutationP(0.1 + 0.2, draws, 'greater')).toBe(3 / 5);
  expect(permutationP(0.9, draws, 'greater')).toBe(1 / 5);
  expect(permutationP(0.15, draws, 'less')).toBe(2 / 5);
  expect(permutationP(0.9, [Number.NaN, 1], 'greater')).toBe(1);
});

test('the detectable value has 80% power under a normal shift', () => {
  const random = new Random(5, 'power');
  const draws = Float64Array.from({ length: 40_000 }, () => random.normal());
  const effect = detectable(draws, 'greater');
  expect(effect).toBeCloseTo(1.645 + 0.8416, 1);
  expect(detectable(draws, 'less')).toBeCloseTo(-effect, 1);
  const [critical] = quantiles(draws, [0.95]);
  const found = draws.filter((x) => x + effect > critical).length / draws.length;
  expect(found).toBeCloseTo(0.8, 2);
});

test('intervals sit around the estimate and inside the bounds', () => {
  const draws = Float64Array.from({ length: 201 }, (_, i) => i / 100);
  const [low, high] = interval95(0.5, draws, [-1, 1])!;
  expect(low).toBeCloseTo(-0.45, 10);
  expect(high).toBe(1);
  expect(interval95(0.5, [1, 2, 3])).toBeUndefined();
  expect(interval95(Number.NaN, draws)).toBeUndefined();
});

test('a null is summarised without its empty draws', () => {
  expect(summariseNull([1, Number.NaN, 3])).toEqual({ mean: 2, q025: 1.05, q975: 2.95 });
  expect(summariseNull([Number.NaN])).toBeUndefined();
  expect(standardDeviation([1, 3])).toBeCloseTo(Math.SQRT2, 12);
});
