import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { POLES } from '../moral/foundation.js';
import { categorical, halvings, reliabilities } from './categorical.js';
import { drawAll } from './draws.js';
import { JudgedTexts } from './judged-texts.js';
import { plantedStates, randomCorpus } from './planted.test.support.js';
import { prototypeAnalyses } from './prototype-analyses.js';
import { cosine } from './prototypes.js';
import { centre } from './states.js';

let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

test('cosine as scikit-learn', () => {
  const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8')).cosine as {
    a: number[];
    b: number[];
    d: number;
    cosines: number[];
  };
  const rows = (flat: number[]) =>
    Array.from({ length: flat.length / golden.d }, (_, i) => Float32Array.from(flat.slice(i * golden.d, (i + 1) * golden.d)));
  const found = rows(golden.a).flatMap((a) => rows(golden.b).map((b) => cosine(a, b)));
  expect(found.length).toBe(golden.cosines.length);
  found.forEach((value, i) => {
    expect(value).toBeCloseTo(golden.cosines[i], 10);
  });
  expect(cosine(Float32Array.of(0, 0), Float32Array.of(1, 2))).toBeNaN();
});

describe('reliability', () => {
  test('is the mean split-half cosine, stepped up by Spearman-Brown', () => {
    const half = (...first: number[]) => Float32Array.from({ length: 20 }, (_, i) => first[i] ?? 1);
    // Pole 0: cosines .6 and .8; pole 1: opposite halves; all others equal halves.
    const found = reliabilities([half(1, 0, 1, 0), half(0.6, 0.8, -1, 0), half(0, 1, 1, 0), half(0.6, 0.8, -1, 0)]);
    expect(found[0]).toBeCloseTo((2 * 0.7) / 1.7, 6);
    expect(found[1]).toBeCloseTo(-1, 6); // no formula below 0
    expect(found[5]).toBeCloseTo(1, 6);
  });

  test('halves are complements that share out every pole', () => {
    const texts = JudgedTexts.of(randomCorpus(120, 3, 0));
    const m = texts.moralVectors();
    const halves = halvings(texts, { signed: texts.signed, m }, 4, 5);
    expect(halves.length).toBe(10);
    for (let h = 0; h < 10; h += 2) {
      const [first, second] = [halves[h].counts!, halves[h + 1].counts!];
      first.forEach((count, i) => {
        expect(count + second[i]).toBe(1);
      });
      for (let k = 0; k < 10; k++) {
        const [a, b] = [first, second].map((half) => half.filter((count, i) => count && m[k * 120 + i] > 0).length);
        expect(Math.abs(a - b)).toBeLessThanOrEqual(1);
      }
    }
    expect(halves[0].counts).not.toEqual(halves[2].counts);
  });
});

describe('analysis 1', () => {
  const drawn = (observed: number[]) => ({ observed: Float64Array.from(observed), permuted: [], resampled: [] });

  test('the disattenuated cosine is divided by the geometric mean of the reliabilities', () => {
    const reliability = Float64Array.from({ length: 10 }, (_, k) => (k === 4 ? -0.2 : 0.25 + 0.05 * (k % 2)));
    const matrix = POLES.map(() => POLES.map(() => 1));
    const { perFoundation } = categorical(
      drawn([-0.1, 0.9, -0.2, 0.1, 0, -0.06]),
      drawn([0, 0, 0, 0, 0, 0]),
      matrix,
      reliability,
    );
    expect(perFoundation['care-harm'].disattenuated.value).toBeCloseTo(-0.1 / Math.sqrt(0.25 * 0.3), 12);
    expect(perFoundation['fairness-cheating'].disattenuated).toEqual({ value: null, why: expect.stringContaining('too noisy') });
    expect(perFoundation['loyalty-betrayal'].disattenuated).toEqual({
      value: null,
      why: expect.stringContaining('not reliable'),
    });
    expect(perFoundation['care-harm'].reliability.virtue.value).toBeCloseTo(0.25, 12);
  });

  test('a pole without prototypes says why; the rest goes on', async () => {
    const corpus = randomCorpus(160, 8, 0);
    for (let row = 0; row < corpus.rows.length; row++)
      if (corpus.rows.foundation[row] === 2) corpus.rows.signed[row] = -Math.abs(corpus.rows.signed[row]);
    const texts = JudgedTexts.of(corpus);
    const states = centre(plantedStates(corpus, 8, 2, { valence: 4 }));
    const draws = drawAll(texts, { seed: 1, permutations: 100, bootstraps: 60 }, 'test');
    const found = await prototypeAnalyses(texts, states, draws, halvings(texts, draws.observed, 1), matmul);
    const { 'loyalty-betrayal': loyalty, 'care-harm': care } = found.categorical.perFoundation;
    expect(loyalty.cosine).toEqual({ value: null, why: 'no text with m > 0 for loyalty' });
    expect(loyalty.disattenuated).toEqual(loyalty.cosine);
    expect(loyalty.reliability.virtue.why).toContain('too few texts of loyalty');
    expect(loyalty.reliability.vice.value).toBeGreaterThan(0.5);
    // Betrayal still has the virtues of other foundations to stand against.
    expect(loyalty.baseline.value).toBeLessThan(-0.5);
    const at = POLES.indexOf('loyalty');
    found.categorical.matrix.forEach((row, a) => {
      row.forEach((value, b) => {
        expect(value === null).toBe(a === at || b === at);
      });
    });
    expect(care.cosine.value).toBeLessThan(-0.5);
    expect(care.cosine.p).toBeCloseTo(1 / 101, 12);
    const others = (['care-harm', 'fairness-cheating', 'authority-subversion', 'sanctity-degradation'] as const).map(
      (name) => found.categorical.perFoundation[name].cosine.value!,
    );
    expect(found.categorical.mean.value).toBeCloseTo(others.reduce((a, b) => a + b) / 4, 12);
    const { loyalty: scored, care: whole } = found.gradient.perPole;
    expect(scored.detection.value).toBeNull();
    expect(scored.gradient.why).toContain('loyalty');
    expect(whole.detection.value).toBeGreaterThan(0.3);
    expect(found.gradient.detection.value).toBeGreaterThan(0.3);
  });
});
