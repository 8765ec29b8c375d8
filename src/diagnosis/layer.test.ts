import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
import { adjustedRandIndex, Partition } from '../statistics/partition.js';
import { reportBest } from './best.js';
import { clusterStates } from './clustering.js';
import { designOf } from './design.js';
import { JudgedTexts } from './judged-texts.js';
import { diagnoseLayer } from './layer.js';
import { plantedStates, randomCorpus } from './planted.test.support.js';
import { centre, type States, select } from './states.js';

const N = 240;
const D = 10;
const corpus = randomCorpus(N, 21);
const texts = JudgedTexts.of(corpus);
const design = designOf(texts, { seed: 6, permutations: 60, bootstraps: 40 });
const words = { floor: { value: 0 }, ceiling: { value: 1 }, auc: { value: 0.5 } };

let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

/** Mean cosine of opposed m-weighted prototypes, the long way. */
function opposition(states: States, among: JudgedTexts): number {
  const { n, d, data } = centre(states);
  const m = among.moralVectors();
  const prototype = (k: number) =>
    Array.from({ length: d }, (_, j) => {
      let sum = 0;
      for (let i = 0; i < n; i++) if (m[k * n + i] > 0) sum += m[k * n + i] * data[i * d + j];
      return sum;
    });
  const inner = (a: number[], b: number[]) => a.reduce((sum, v, j) => sum + v * b[j], 0);
  const cosines = [0, 1, 2, 3, 4].map((f) => {
    const [a, b] = [prototype(2 * f), prototype(2 * f + 1)];
    return inner(a, b) / Math.sqrt(inner(a, a) * inner(b, b));
  });
  return cosines.reduce((a, b) => a + b) / 5;
}

test('layers are chosen on the first half of the texts and reported on the second, each half centred alone', async () => {
  const states = plantedStates(corpus, D, 2, { valence: 1.5, topic: 1 });
  const norms = new Float32Array(2 * N).fill(1);
  const tokens = Int32Array.from({ length: N }, (_, i) => 4 + (i % 5));
  const { chooseBy, maxima, diagnosis } = await diagnoseLayer({ layer: 3, states, tokens, norms }, design, words, matmul);
  const [first, second] = design.halves.map((half) => opposition(select(states, half.positions), half.texts));
  expect(chooseBy.categorical).toBeCloseTo(first, 4);
  const { figure } = await reportBest({ kind: 'categorical', pooling: 'last', layer: 3 }, states, design, corpus.texts, matmul);
  expect(figure!.value).toBeCloseTo(second, 4);
  expect(Math.abs(first - second)).toBeGreaterThan(0.001);
  expect(diagnosis.categorical.mean.value).toBeCloseTo(opposition(states, texts), 4);
  // The maximum is taken over every pole or foundation and their means.
  expect(Object.values(maxima).map((columns) => columns.length)).toEqual([6, 22, 1, 11]);
  expect(maxima.categorical[5].observed).toBe(diagnosis.categorical.mean.value);
  for (const columns of Object.values(maxima)) for (const { permuted } of columns) expect(permuted).toHaveLength(60);
});

test('clusters at the best layer are those of all texts, judged by the second half', async () => {
  const states = plantedStates(corpus, D, 2, { valence: 12 });
  const { single, halves } = design;
  const { hdbscan } = await clusterStates(select(states, single.positions), 6, matmul);
  const second = new Set(halves[1].positions);
  const reported = Array.from(single.positions.keys()).filter((i) => second.has(single.positions[i]));
  const polarity = texts.valence().map(Math.sign);
  const expected = adjustedRandIndex(
    new Partition(reported.map((i) => hdbscan[i])),
    new Partition(reported.map((i) => polarity[single.positions[i]])),
  );
  const { figure } = await reportBest({ kind: 'structural', pooling: 'last', layer: 3 }, states, design, corpus.texts, matmul);
  expect(figure!.value).toBeCloseTo(expected, 12);
  expect(figure!.value).toBeGreaterThan(0.1);
  expect(figure!.p).toBeCloseTo(1 / 61, 12);
  expect(figure!.ci95![0]).toBeLessThanOrEqual(figure!.ci95![1]);
});

describe('length', () => {
  // Virtuous texts are longer here, and a sink divided by the length is all that the states hold.
  const random = new Random(8, 'length');
  const valence = texts.valence();
  const tokens = Int32Array.from({ length: N }, (_, i) => Math.max(3, Math.round(9 + 4 * valence[i] + 2 * random.normal())));
  const sunk = plantedStates(corpus, D, 3, { valence: 0 });
  for (let i = 0; i < N; i++) sunk.data[i * D + 2] += 400 / tokens[i];
  const norms = Float32Array.from({ length: 2 * N }, (_, i) => (i % 2 === 0 ? 800 : i === 1 ? Number.NaN : 20));

  test('that passes for morality is gone once it is regressed out, and is named', async () => {
    const { diagnosis } = await diagnoseLayer({ layer: 0, states: sunk, tokens, norms }, design, words, matmul);
    expect(diagnosis.sink.lengthShare).toBeGreaterThan(0.9);
    expect(diagnosis.sink.firstComponent).toBeGreaterThan(0.9);
    // A text of one token has no other tokens: the ratio is of the rest.
    expect(diagnosis.sink.ratio).toBeCloseTo(40, 6);
    expect(diagnosis.categorical.mean.p).toBeLessThan(0.05);
    expect(diagnosis.knows.value).toBeGreaterThan(0.75);
    const { categorical, gradient, dimensional } = diagnosis.lengthRegressed;
    for (const figure of [categorical.mean, gradient.detection, dimensional.r2]) {
      expect(figure.p).toBeGreaterThan(0.05);
      expect(figure.ci95).toBeUndefined();
    }
  });
});
