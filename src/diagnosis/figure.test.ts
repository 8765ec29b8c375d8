import { expect, test } from 'vitest';
import { Random } from '../random.js';
import { figure } from './figure.js';
import { Figure } from './schema.js';

const options = { better: 'greater', bounds: [-1, 1], whyEmpty: 'nothing there' } as const;
const draws = (n: number, value: (b: number) => number) => Array.from({ length: n }, (_, b) => Float64Array.of(99, value(b)));

test('puts value, interval, null, p and detectable effect together, for the statistic asked for', () => {
  const random = new Random(1);
  const found = figure(
    {
      observed: Float64Array.of(99, 0.35),
      permuted: draws(199, (b) => (b - 99) / 250),
      resampled: draws(200, () => 0.4 + 0.05 * random.normal()),
    },
    1,
    options,
  );
  expect(found.value).toBe(0.35);
  // Draws above .35: (b - 99) / 250 >= .35 from b = 187 on, 12 of them.
  expect(found.p).toBeCloseTo(13 / 200, 12);
  expect(found.null!.mean).toBeCloseTo(0, 12);
  expect(found.null!.q975).toBeCloseTo(0.95 * 0.396, 9);
  expect(found.ci95![0]).toBeGreaterThan(0.22);
  expect(found.ci95![1]).toBeLessThan(0.48);
  const deviation = Math.sqrt(Array.from({ length: 199 }, (_, b) => ((b - 99) / 250) ** 2).reduce((a, b) => a + b) / 198);
  expect(found.detectable).toBeCloseTo(0.9 * 0.396 + 0.8416212 * deviation, 6);
  const less = figure({ observed: Float64Array.of(99, 0.35), permuted: draws(199, (b) => (b - 99) / 250), resampled: [] }, 1, {
    ...options,
    better: 'less',
  });
  expect(less.p).toBeGreaterThan(0.9);
  expect(less.ci95).toBeUndefined();
  expect(less.detectable).toBeLessThan(-0.4);
});

test('interval and detectable effect stay within the bounds', () => {
  const found = figure(
    { observed: Float64Array.of(0.99), permuted: [-0.9, 0.9, 0.95].map((v) => Float64Array.of(v)), resampled: [] },
    0,
    options,
  );
  expect(found).not.toHaveProperty('detectable'); // no value within the bounds would have been enough
  const random = new Random(2);
  const wide = {
    observed: Float64Array.of(0.95),
    permuted: [],
    resampled: Array.from({ length: 50 }, () => Float64Array.of(random.normal())),
  };
  expect(figure(wide, 0, options).ci95).toEqual([-1, 1]);
  expect(figure(wide, 0, options)).not.toHaveProperty('p');
});

test('without a value it says why', () => {
  expect(figure({ observed: Float64Array.of(Number.NaN), permuted: [], resampled: [] }, 0, options)).toEqual({
    value: null,
    why: 'nothing there',
  });
});

test('however many draws gave a value, every number survives JSON', () => {
  for (const values of [[], [0.1], [0.1, Number.NaN], [Number.NaN, Number.NaN]]) {
    const statistic = { observed: Float64Array.of(0.2), permuted: values.map((v) => Float64Array.of(v)), resampled: [] };
    const found = figure(statistic, 0, options);
    expect(Figure.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
  }
});
