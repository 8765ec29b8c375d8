import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { symmetricEigen, symmetricEigenvalues, tridiagonalEigenvalues } from './eigen.js';
import { Tridiagonal } from './tridiagonal.js';

const random = new Random(7, 'eigen');

function symmetric(n: number, entry: () => number): Float64Array {
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = i; j < n; j++) a[i * n + j] = a[j * n + i] = entry();
  return a;
}

/** Gram matrix of fewer vectors than its side: many eigenvalues are 0. */
function deficient(n: number, rank: number): Float64Array {
  const x = Array.from({ length: rank }, () => Float64Array.from({ length: n }, () => random.normal()));
  const a = new Float64Array(n * n);
  for (const row of x) for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) a[i * n + j] += row[i] * row[j];
  return a;
}

function diagonal(values: number[]): Float64Array {
  const a = new Float64Array(values.length ** 2);
  values.forEach((value, i) => {
    a[i * values.length + i] = value;
  });
  return a;
}

const matrices: [string, Float64Array][] = [
  ['1 x 1', Float64Array.of(-3)],
  ['2 x 2', Float64Array.of(1, 2, 2, -5)],
  ['3 x 3', symmetric(3, () => random.normal())],
  ['random 41', symmetric(41, () => random.normal())],
  ['random 130', symmetric(130, () => random.normal())],
  ['zero', new Float64Array(64)],
  ['identity', diagonal(Array(9).fill(1))],
  ['diagonal', diagonal([3, -1, 7, 7, 0, 2.5])],
  ['of low rank', deficient(50, 7)],
  ['graded over 24 decades', diagonal(Array.from({ length: 12 }, (_, i) => 10 ** (12 - 2 * i)))],
  ['huge', symmetric(20, () => 1e200 * random.normal())],
  ['tiny', symmetric(20, () => 1e-200 * random.normal())],
  ['ones', symmetric(30, () => 1)],
];

describe.each(matrices)('%s', (_, a) => {
  const n = Math.sqrt(a.length);
  const { values, vectors } = symmetricEigen(a, n);
  const norm = a.reduce((most, value) => Math.max(most, Math.abs(value)), 0) * n;

  test('A v = lambda v, and the vectors are orthonormal', () => {
    for (let k = 0; k < n; k++) {
      const v = vectors.subarray(k * n, (k + 1) * n);
      for (let i = 0; i < n; i++) {
        let av = 0;
        let dot = 0;
        for (let j = 0; j < n; j++) {
          av += a[i * n + j] * v[j];
          dot += vectors[i * n + j] * v[j];
        }
        expect(Math.abs(av - values[k] * v[i])).toBeLessThanOrEqual(1e-14 * norm);
        expect(Math.abs(dot - (i === k ? 1 : 0))).toBeLessThan(1e-13);
      }
      expect(k === 0 || values[k - 1] >= values[k]).toBe(true);
    }
  });

  test('the values alone are the same', () => {
    symmetricEigenvalues(a, n).forEach((value, i) => {
      expect(Math.abs(value - values[i])).toBeLessThanOrEqual(1e-14 * norm);
    });
  });

  test('Q T Q^T = A', () => {
    const t = Tridiagonal.reduce(a, n);
    const q = t.transposedQ();
    const tq = new Float64Array(n * n);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++)
        tq[i * n + j] =
          t.diagonal[i] * q[i * n + j] +
          (i > 0 ? t.offDiagonal[i - 1] * q[(i - 1) * n + j] : 0) +
          (i + 1 < n ? t.offDiagonal[i] * q[(i + 1) * n + j] : 0);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let entry = 0;
        for (let k = 0; k < n; k++) entry += q[k * n + i] * tq[k * n + j];
        expect(Math.abs(entry - a[i * n + j])).toBeLessThanOrEqual(1e-14 * norm);
      }
    }
    const unit = new Float64Array(n);
    unit[n - 1] = 1;
    t.applyQ(unit, 1).forEach((value, j) => {
      expect(value).toBeCloseTo(q[(n - 1) * n + j], 13);
    });
  });
});

test('eigenvalues that are known', () => {
  const n = 40;
  const values = tridiagonalEigenvalues(new Float64Array(n).fill(2), new Float64Array(n - 1).fill(-1));
  values.forEach((value, i) => {
    expect(value).toBeCloseTo(2 - 2 * Math.cos(((n - i) * Math.PI) / (n + 1)), 12);
  });
});

test('only the upper triangle is read, and it is left alone', () => {
  const a = symmetric(10, () => random.normal());
  const upper = a.slice();
  for (let i = 0; i < 10; i++) for (let j = 0; j < i; j++) upper[i * 10 + j] = 99;
  const before = upper.slice();
  expect(symmetricEigenvalues(upper, 10)).toEqual(symmetricEigenvalues(a, 10));
  expect(upper).toEqual(before);
});

test('an infinity is refused', () => {
  const a = symmetric(4, () => 1);
  a[5] = Number.POSITIVE_INFINITY;
  expect(() => symmetricEigenvalues(a, 4)).toThrow(RangeError);
});
