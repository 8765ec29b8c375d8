import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
import { auc } from '../statistics/ranks.js';
import { bagOfWordsScores, carriedScores, crossFolds, probeScores, recalibratedScores } from './held-out-scores.js';

const labels = (valence: Float32Array) => valence.map((v) => (v > 0 ? 1 : 0));

let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

describe('a probe carried over', () => {
  /** Channel 1 says what is good; channel 2 says it where the texts are fitted on, and its contrary elsewhere if `turned`. */
  function statesOf(name: string, n: number, turned: boolean) {
    const random = new Random(2, name);
    const valence = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
    const slope = [0, 1, turned ? -4 : 4];
    const data = Float32Array.from({ length: 3 * n }, (_, at) => random.normal() + slope[at % 3] * valence[(at / 3) | 0]);
    return { valence, states: { n, d: 3, data } };
  }
  const { valence, states } = statesOf('from', 80, false);
  const folds = [
    { train: Int32Array.from({ length: 60 }, (_, i) => i), validation: Int32Array.of(60, 61), test: Int32Array.of() },
  ];
  const from = { set: { valence }, folds, states };

  test.each([
    ['tells what it was fitted to, where that is told alike', false, 0.99, 1],
    ['tells the contrary where that is turned round', true, 0, 0.2],
  ])('%s', async (_, turned, least, most) => {
    const to = statesOf('to', 50, turned);
    const scores = await carriedScores(from, to.states, matmul);
    expect(scores.length).toBe(50);
    const found = auc(scores, labels(to.valence));
    expect(found).toBeGreaterThanOrEqual(least);
    expect(found).toBeLessThanOrEqual(most);
  });
});

describe('cross-fitting', () => {
  test('scores every text once, and never by a fit on a text of its unit', () => {
    const unit = Int32Array.from({ length: 101 }, (_, i) => i >> 1);
    const folds = crossFolds({ unit, units: 51 }, 3);
    const scored = folds.flatMap(({ test: texts }) => [...texts]).sort((a, b) => a - b);
    expect(scored).toEqual([...unit.keys()]);
    for (const { train, validation, test: texts } of folds) {
      const unitsOf = (positions: Int32Array) => new Set(Array.from(positions, (text) => unit[text]));
      const [fitted, choosing, judged] = [train, validation, texts].map(unitsOf);
      for (const one of judged) expect(fitted.has(one) || choosing.has(one)).toBe(false);
      for (const one of choosing) expect(fitted.has(one)).toBe(false);
      expect(train.length + validation.length + texts.length).toBe(101);
      expect(validation.length).toBeGreaterThan(0);
    }
  });

  test('finds a planted direction, and nothing in noise', async () => {
    const [n, d] = [300, 12];
    const random = new Random(0, 'states');
    const valence = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
    const unit = Int32Array.from({ length: n }, (_, i) => i);
    const noise = Float32Array.from({ length: n * d }, () => 10 * random.normal());
    const telling = noise.map((value, at) => value + (at % d === 5 ? 8 * valence[Math.floor(at / d)] : 0));
    const folds = crossFolds({ unit, units: n }, 0);
    const scores = await probeScores({ n, d, data: telling }, valence, folds, matmul);
    // Phi(1.6 / sqrt 2) = .87
    expect(auc(scores, labels(valence))).toBeGreaterThan(0.8);
    expect(auc(scores, labels(valence))).toBeLessThan(0.93);
    const blind = await probeScores({ n, d, data: noise }, valence, folds, matmul);
    expect(Math.abs(auc(blind, labels(valence)) - 0.5)).toBeLessThan(0.1);
    const byLogistic = await recalibratedScores(telling, valence, folds);
    expect(auc(byLogistic, labels(valence))).toBeGreaterThan(0.8);
  });

  test.each([
    [20, 0.02],
    [50, 0.008],
  ])('is not held down by what sets the folds of %i texts apart in their balance', async (n, tolerance) => {
    const samples = 80;
    const bias = { probe: 0, recalibrated: 0 };
    for (let sample = 0; sample < samples; sample++) {
      const random = new Random(sample, 'balance', n);
      const valence = Float32Array.from({ length: n }, () => (random.below(2) === 0 ? 1 : -1));
      const data = valence.map((v) => random.normal() + 0.75 * v);
      const folds = crossFolds({ unit: Int32Array.from({ length: n }, (_, i) => i), units: n }, sample);
      // One column: but for its sign a fit cannot be wrong, so the truth is what the column itself tells of these texts, .856 on average.
      const truth = auc(data, labels(valence));
      bias.probe += (auc(await probeScores({ n, d: 1, data }, valence, folds, matmul), labels(valence)) - truth) / samples;
      bias.recalibrated += (auc(await recalibratedScores(data, valence, folds), labels(valence)) - truth) / samples;
    }
    expect(Math.abs(bias.probe)).toBeLessThan(tolerance);
    expect(Math.abs(bias.recalibrated)).toBeLessThan(tolerance);
  });

  test('chooses a penalty where the validation texts are all judged alike', async () => {
    const n = 60;
    const random = new Random(4, 'alike');
    const valence = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 || (i >= 40 && i < 45) ? 1 : -1));
    const data = Float32Array.from(
      { length: n * 3 },
      (_, at) => random.normal() + (at % 3 === 1 ? 2 * valence[(at / 3) | 0] : 0),
    );
    const range = (from: number, to: number) => Int32Array.from({ length: to - from }, (_, i) => from + i);
    const fold = { train: range(0, 40), validation: range(40, 45), test: range(45, n) };
    const scores = await probeScores({ n, d: 3, data }, valence, [fold], matmul);
    expect(auc(scores.subarray(45), labels(valence).subarray(45))).toBeGreaterThan(0.9);
  });

  test('reads words of other texts alone', async () => {
    const n = 200;
    const random = new Random(1, 'words');
    const valence = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
    const texts = Array.from(valence, (v, i) => `unique${i} ${v > 0 ? 'helping' : 'hurting'} a ${'abcdefgh'[random.below(8)]}`);
    const folds = crossFolds({ unit: Int32Array.from({ length: n }, (_, i) => i), units: n }, 0);
    expect(auc(await bagOfWordsScores({ texts, valence }, folds, matmul), labels(valence))).toBe(1);
    const alone = texts.map((_, i) => `only${i}`);
    expect((await bagOfWordsScores({ texts: alone, valence }, folds, matmul)).every(Number.isNaN)).toBe(true);
  });

  test('has no score where all training texts are judged alike', async () => {
    const valence = new Float32Array(20).fill(1);
    const folds = crossFolds({ unit: Int32Array.from({ length: 20 }, (_, i) => i), units: 20 }, 0);
    expect((await recalibratedScores(new Float32Array(40), valence, folds)).every(Number.isNaN)).toBe(true);
  });
});
