import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
import { auc } from '../statistics/ranks.js';
import { type Design, designOf } from './design.js';
import { dimensional, LAMBDAS, readLinearly } from './dimensional.js';
import { JudgedTexts } from './judged-texts.js';
import { plantedStates, randomCorpus } from './planted.test.support.js';
import type { States } from './states.js';

const N = 300;
const corpus = randomCorpus(N, 5);
const texts = JudgedTexts.of(corpus);
const design = designOf(texts, { seed: 2, permutations: 60, bootstraps: 40 });
const words = { floor: { value: 0.1 }, ceiling: { value: 0.9 }, auc: { value: 0.6 } };

let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Solves a x = b by elimination. */
function solve(a: number[][], b: number[][]): number[][] {
  const rows = a.map((row, i) => [...row, ...b[i]]);
  const d = a.length;
  for (let p = 0; p < d; p++)
    for (let r = 0; r < d; r++) {
      if (r === p) continue;
      const factor = rows[r][p] / rows[p][p];
      for (let c = p; c < rows[r].length; c++) rows[r][c] -= factor * rows[p][c];
    }
  return rows.map((row, p) => row.slice(d).map((v) => v / row[p]));
}

/** The same ridge by the normal equations, one penalty after the other, everything in doubles. */
function byHand(states: States, { split, targets: [y] }: Design) {
  const { d } = states;
  const rows = (positions: Int32Array) => Array.from(positions, (p) => Array.from(states.data.subarray(p * d, (p + 1) * d)));
  const judged = (positions: Int32Array) => Array.from(positions, (p) => Array.from(y.subarray(p * 11, (p + 1) * 11)));
  const train = rows(split.train);
  const centre = train[0].map((_, j) => mean(train.map((row) => row[j])));
  const deviation = train[0].map((_, j) => Math.sqrt(mean(train.map((row) => (row[j] - centre[j]) ** 2))));
  const standardise = (row: number[]) => row.map((v, j) => (v - centre[j]) / deviation[j]);
  const x = train.map(standardise);
  const target = judged(split.train);
  const intercept = target[0].map((_, k) => mean(target.map((row) => row[k])));
  const r2 = (positions: Int32Array, beta: number[][]) => {
    const truth = judged(positions);
    const predicted = rows(positions).map((row) => {
      const z = standardise(row);
      return intercept.map((b, k) => b + z.reduce((sum, v, j) => sum + v * beta[j][k], 0));
    });
    return intercept.map((_, k) => {
      const about = mean(truth.map((row) => row[k]));
      const total = truth.reduce((sum, row) => sum + (row[k] - about) ** 2, 0);
      return 1 - truth.reduce((sum, row, i) => sum + (row[k] - predicted[i][k]) ** 2, 0) / total;
    });
  };
  const fits = LAMBDAS.map((lambda) => {
    const gram = x[0].map((_, a) => x[0].map((_, b) => x.reduce((sum, row) => sum + row[a] * row[b], 0)));
    const penalised = gram.map((row, a) => row.map((v, b) => v + (a === b ? lambda : 0)));
    const right = x[0].map((_, a) => intercept.map((m, k) => x.reduce((sum, row, i) => sum + row[a] * (target[i][k] - m), 0)));
    const beta = solve(penalised, right);
    const edf = solve(penalised, gram).reduce((sum, row, a) => sum + row[a], 0);
    return { lambda, edf, validation: r2(split.validation, beta), test: r2(split.test, beta), train: r2(split.train, beta) };
  });
  // A pole that does not vary among the few validation texts has no R2 there.
  const score = (fit: (typeof fits)[number]) => mean(fit.validation.slice(0, 10).filter(Number.isFinite));
  return fits.reduce((best, fit) => (score(fit) > score(best) ? fit : best));
}

describe('held-out R2', () => {
  test.each([
    ['strong', 6],
    ['weak', 0.8],
  ])('equals a ridge by the normal equations on the same split (%s signal)', async (_, valence) => {
    const states = plantedStates(corpus, 5, 3, { valence, topic: 2 });
    const expected = byHand(states, design);
    const found = await dimensional(states, design, words, matmul);
    expect(found.dimensional.lambda).toBe(expected.lambda);
    expect(found.dimensional.edf).toBeCloseTo(expected.edf, 3);
    expected.test.slice(0, 10).forEach((value, k) => {
      expect(Object.values(found.dimensional.perPole)[k].value).toBeCloseTo(value, 4);
    });
    expect(found.dimensional.r2.value).toBeCloseTo(mean(expected.test.slice(0, 10)), 4);
    const [n, training] = [design.split.train.length, mean(expected.train.slice(0, 10))];
    expect(found.dimensional.adjustedR2).toBeCloseTo(1 - ((1 - training) * (n - 1)) / (n - expected.edf - 1), 4);
    expect(found.dimensional).toMatchObject({ floor: words.floor, ceiling: words.ceiling });
  });

  test('a planted linear map is found; the probe too', async () => {
    const random = new Random(1, 'map');
    const [y] = design.targets;
    const d = 16;
    const weights = Array.from({ length: d * 10 }, () => random.normal());
    const data = Float32Array.from({ length: N * d }, (_, at) => {
      const [i, j] = [Math.floor(at / d), at % d];
      let v = 300 + 0.1 * random.normal();
      for (let k = 0; k < 10; k++) v += weights[j * 10 + k] * y[i * 11 + k];
      return v;
    });
    const found = await dimensional({ n: N, d, data }, design, words, matmul);
    const { r2 } = found.dimensional;
    expect(r2.value).toBeGreaterThan(0.9);
    expect(r2.p).toBeCloseTo(1 / 61, 12);
    // Topics can still be read when judgments are permuted within them.
    expect(r2.null!.q975).toBeLessThan(0.25);
    expect(r2.ci95![0]).toBeGreaterThan(r2.null!.q975);
    expect(r2.detectable).toBeLessThan(0.3);
    expect(found.knows).toMatchObject({ value: expect.any(Number), p: 1 / 61 });
    expect(found.knows.value).toBeGreaterThan(0.97);
    expect(found.spearman.value).toBeGreaterThan(0.9);
  });

  test('noise is called noise', async () => {
    const ps: number[] = [];
    for (let seed = 0; seed < 8; seed++) {
      const { dimensional: found, knows } = await dimensional(
        plantedStates(corpus, 6, seed, { valence: 0 }),
        design,
        words,
        matmul,
      );
      expect(found.r2.value).toBeLessThan(0.03);
      expect(Math.abs(knows.value! - 0.5)).toBeLessThan(0.25);
      ps.push(found.r2.p!, knows.p!);
    }
    expect(ps.filter((p) => p < 0.05).length).toBeLessThanOrEqual(3);
    expect(mean(ps)).toBeGreaterThan(0.25);
  });

  test('more channels than texts: no fit without a penalty, and no adjusted R2 beyond its degrees of freedom', async () => {
    const found = await dimensional(plantedStates(corpus, 260, 4, { valence: 6, topic: 3 }), design, words, matmul);
    expect(found.dimensional.r2.value).toBeGreaterThan(0);
    expect(found.dimensional.edf).toBeLessThan(design.split.train.length - 1);
    expect(found.dimensional.adjustedR2).toBeGreaterThan(0);
  });
});

test("the probe's AUC is that of its predictions for the judged test texts", async () => {
  const states = plantedStates(corpus, 5, 3, { valence: 1.5 });
  const { probe, observed } = await readLinearly(states, design, matmul);
  const judged = Array.from(design.split.test, (i) => texts.valence()[i]);
  const predicted = judged.map((_, i) => observed.test[i * 11 + 10]);
  const [good, bad] = [1, -1].map((sign) => predicted.filter((_, i) => Math.sign(judged[i]) === sign));
  const wins = good.flatMap((g) => bad.map((b) => (g > b ? 1 : g === b ? 0.5 : 0)));
  expect(probe.observed[0]).toBeCloseTo(mean(wins), 9);
  expect(probe.observed[0]).toBeGreaterThan(0.7);
  expect(
    auc(
      predicted,
      judged.map((v) => (v > 0 ? 1 : v < 0 ? 0 : -1)),
    ),
  ).toBeCloseTo(mean(wins), 9);
});

test('every text is on one side of the split, every half', () => {
  const { train, validation, test: held } = design.split;
  expect([...train, ...validation, ...held].sort((a, b) => a - b)).toEqual(Array.from({ length: N }, (_, i) => i));
  expect([train.length, validation.length, held.length]).toEqual([210, 30, 60]);
  const [first, second] = design.halves;
  expect([...first.positions, ...second.positions].sort((a, b) => a - b)).toEqual(Array.from({ length: N }, (_, i) => i));
});
