import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { logSumExp } from './log-sum-exp.js';

function naive(x: Float32Array): number {
  const largest = x.reduce((a, b) => Math.max(a, b));
  return largest + Math.log(x.reduce((sum, v) => sum + Math.exp(v - largest), 0));
}

describe('logSumExp', () => {
  for (const spread of [0, 1, 30, 500, 5000])
    test(`is exact to fp64 for logits spread over ${spread}`, () => {
      const random = new Random(1, spread);
      for (const n of [1, 2, 3, 5, 1001]) {
        const x = Float32Array.from({ length: n }, () => 1000 + random.uniform() * spread);
        expect(Math.abs(logSumExp(x, 0, n) - naive(x))).toBeLessThan(1e-12);
      }
    });

  test('takes a part of an array, minus infinity included', () => {
    const x = Float32Array.of(99, 1, Number.NEGATIVE_INFINITY, 1, 99);
    expect(logSumExp(x, 1, 3)).toBeCloseTo(1 + Math.LN2, 14);
  });

  test('does not hide a NaN', () => {
    expect(logSumExp(Float32Array.of(0, Number.NaN, 1, 2, 3, 4), 0, 6)).toBeNaN();
    expect(logSumExp(Float32Array.of(Number.NaN, 0), 0, 2)).toBeNaN();
  });
});
