import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Random } from '../random.js';
import { chooseLogistic, fitLogistic, LOGISTIC_PENALTIES } from './logistic.js';
import { auc } from './ranks.js';

const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));

test('as scikit-learn on standardised columns', () => {
  const { x, y, d, fits } = golden.logistic as {
    x: number[];
    y: number[];
    d: number;
    fits: { lambda: number; scores: number[] }[];
  };
  for (const { lambda, scores } of fits) {
    const ours = fitLogistic(Float32Array.from(x), y, d, lambda).score(Float32Array.from(x));
    scores.forEach((score, i) => {
      expect(ours[i]).toBeCloseTo(score, 5);
    });
  }
});

function sample(n: number, d: number, strength: number, random: Random) {
  const x = Float32Array.from({ length: n * d }, () => random.normal());
  const labels = Uint8Array.from({ length: n }, (_, i) => Number(strength * x[i * d] + random.normal() > 0));
  return { x, labels };
}

test('validation chooses a strong penalty for noise and a weak one for signal', () => {
  const random = new Random(1, 'logistic');
  const d = 30;
  const noise = chooseLogistic(sample(150, d, 0, random), sample(100, d, 0, random), d);
  const signal = chooseLogistic(sample(150, d, 4, random), sample(100, d, 4, random), d);
  expect(noise.lambda).toBeGreaterThan(signal.lambda);
  const test = sample(400, d, 4, random);
  expect(auc(signal.score(test.x), test.labels)).toBeGreaterThan(0.9);
});

test('separable classes, copied and constant columns end in finite weights', () => {
  const x = Float32Array.from({ length: 40 * 3 }, (_, at) => (at % 3 === 2 ? 7 : Math.floor(at / 3)));
  const labels = Uint8Array.from({ length: 40 }, (_, i) => Number(i >= 20));
  for (const lambda of LOGISTIC_PENALTIES) {
    const fit = fitLogistic(x, labels, 3, lambda);
    expect(fit.weights.every(Number.isFinite)).toBe(true);
    expect(fit.weights[0]).toBeCloseTo(fit.weights[1], 6);
    expect(fit.weights[2]).toBe(0);
    expect(auc(fit.score(x), labels)).toBe(1);
  }
});

test('a start elsewhere ends at the same place', () => {
  const { x, labels } = sample(80, 4, 1, new Random(5, 'start'));
  const cold = fitLogistic(x, labels, 4, 1);
  const warm = fitLogistic(x, labels, 4, 1, fitLogistic(x, labels, 4, 1000));
  cold.weights.forEach((weight, j) => {
    expect(warm.weights[j]).toBeCloseTo(weight, 6);
  });
});
