import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { anisotropy, centre, inverseLength, lengthColumns, regressOut, requireFinite, type States, select } from './states.js';

const random = new Random(1, 'states');
function noise(n: number, d: number, constant = 0): States {
  return { n, d, data: Float32Array.from({ length: n * d }, (_, i) => random.normal() + (i % d === 2 ? constant : 0)) };
}

describe('centre', () => {
  test('keeps the signal beside a constant of ten thousand', () => {
    const states = noise(3000, 5, 1e4);
    const centred = centre(states);
    for (let j = 0; j < 5; j++) {
      const column = Array.from({ length: 3000 }, (_, i) => states.data[i * 5 + j]);
      const mean = column.reduce((a, b) => a + b) / 3000;
      // Sums in fp32 would be off by more than 1e-3 here.
      column.forEach((v, i) => {
        expect(Math.abs(centred.data[i * 5 + j] - (v - mean))).toBeLessThan(1e-6);
      });
    }
    expect(states.data[2]).toBeGreaterThan(9000);
  });
});

describe('regressOut', () => {
  const tokens = Int32Array.from({ length: 80 }, () => 3 + random.below(20));
  const states = noise(80, 3);
  for (let i = 0; i < 80; i++) states.data[i * 3 + 1] += 40 / tokens[i] + 7;

  /** Least squares on 1, 1/length and length through the normal equations. */
  function leastSquares(j: number): number[] {
    const design = Array.from(tokens, (t) => [1, 1 / t, t]);
    const y = Array.from({ length: 80 }, (_, i) => states.data[i * 3 + j]);
    const system = [0, 1, 2].map((a) => [
      ...[0, 1, 2].map((b) => design.reduce((sum, row) => sum + row[a] * row[b], 0)),
      design.reduce((sum, row, i) => sum + row[a] * y[i], 0),
    ]);
    for (let p = 0; p < 3; p++)
      for (let r = 0; r < 3; r++) {
        if (r === p) continue;
        const factor = system[r][p] / system[p][p];
        for (let c = p; c < 4; c++) system[r][c] -= factor * system[p][c];
      }
    const beta = system.map((row, p) => row[3] / row[p]);
    return y.map((v, i) => v - beta[0] - beta[1] * design[i][1] - beta[2] * design[i][2]);
  }

  test('gives the residuals of least squares, channel means kept, and the share that was explained', () => {
    const { residual, explained } = regressOut(states, lengthColumns(tokens));
    let [left, total] = [0, 0];
    for (let j = 0; j < 3; j++) {
      const expected = leastSquares(j);
      const mean = expected.map((_, i) => states.data[i * 3 + j]).reduce((a, b) => a + b) / 80;
      expected.forEach((v, i) => {
        expect(residual.data[i * 3 + j]).toBeCloseTo(v + mean, 4);
        left += v * v;
        total += (states.data[i * 3 + j] - mean) ** 2;
      });
    }
    expect(explained).toBeCloseTo(1 - left / total, 6);
  });

  test('columns that say nothing new change nothing', () => {
    const once = regressOut(states, [inverseLength(tokens)]);
    const again = regressOut(states, [
      inverseLength(tokens),
      inverseLength(tokens).map((v) => 2 * v + 1),
      new Float64Array(80).fill(3),
    ]);
    expect(again.explained).toBeCloseTo(once.explained, 12);
    expect(again.residual.data).toEqual(once.residual.data);
    const constant: States = { n: 80, d: 1, data: new Float32Array(80).fill(5) };
    expect(regressOut(constant, lengthColumns(tokens)).explained).toBe(0);
  });
});

test('anisotropy is the mean cosine of all pairs, rows without length left out', () => {
  const states = noise(40, 4, 2);
  states.data.fill(0, 4 * 7, 4 * 8);
  const row = (i: number) => states.data.subarray(i * 4, i * 4 + 4);
  const cosines: number[] = [];
  for (let a = 0; a < 40; a++)
    for (let b = 0; b < a; b++)
      if (a !== 7 && b !== 7)
        cosines.push(row(a).reduce((sum, v, j) => sum + v * row(b)[j], 0) / (Math.hypot(...row(a)) * Math.hypot(...row(b))));
  expect(anisotropy(states)).toBeCloseTo(cosines.reduce((a, b) => a + b) / cosines.length, 6);
  expect(anisotropy(states)).toBeGreaterThan(0.3);
});

test('select takes rows in the order asked for', () => {
  const states: States = { n: 3, d: 2, data: Float32Array.of(1, 2, 3, 4, 5, 6) };
  expect(select(states, Int32Array.of(2, 0, 2))).toEqual({ n: 3, d: 2, data: Float32Array.of(5, 6, 1, 2, 5, 6) });
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])('requireFinite names the text and the channel of a %s', (value) => {
  const states = noise(6, 4);
  requireFinite(states, 'here');
  states.data[4 * 4 + 3] = value;
  expect(() => requireFinite(states, 'layer 5')).toThrow(new RegExp(`layer 5.*text 4 .*${value}.*channel 3`));
});
