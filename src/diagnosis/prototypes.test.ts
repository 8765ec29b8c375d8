import { afterAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import type { Corpus } from '../moral/corpus.js';
import { Random } from '../random.js';
import { spearman } from '../statistics/ranks.js';
import { baselines, oppositions } from './categorical.js';
import { type Draw, drawAll } from './draws.js';
import { poleCorrelations } from './gradient.js';
import { JudgedTexts } from './judged-texts.js';
import { visitPrototypes } from './prototypes.js';
import { centre, type States } from './states.js';

const N = 240;
const D = 12;

function randomCorpus(seed: number): Corpus {
  const random = new Random(seed, 'corpus');
  const rows: [number, number, number][] = [];
  for (let text = 0; text < N; text++) {
    const first = random.below(5);
    const signed = [-1, -0.75, -0.5, 0, 0, 0.25, 0.5, 1][random.below(8)];
    rows.push([text, first, signed]);
    if (random.uniform() < 0.15) rows.push([text, (first + 1) % 5, signed]);
  }
  return {
    name: 'random',
    authored: false,
    sha256: '',
    texts: Array.from({ length: N }, (_, i) => `text ${i}`),
    rows: {
      length: rows.length,
      text: Int32Array.from(rows, (r) => r[0]),
      annotation: Int32Array.from(rows, (r) => r[0]),
      foundation: Uint8Array.from(rows, (r) => r[1]),
      signed: Float32Array.from(rows, (r) => r[2]),
    },
  };
}

function randomStates(seed: number): States {
  const random = new Random(seed, 'states');
  return { n: N, d: D, data: Float32Array.from({ length: N * D }, (_, i) => random.normal() + (i % D === 3 ? 500 : 0)) };
}

/** The same statistics the long way: every copy of a text written out, every left-out prototype summed anew. */
function naive(corpus: Corpus, states: States, { signed, counts }: Draw, texts: JudgedTexts) {
  const copies: number[] = [];
  for (let i = 0; i < N; i++) for (let c = 0; c < (counts ? counts[i] : 1); c++) copies.push(i);
  const mean = Array.from({ length: D }, (_, j) => copies.reduce((sum, i) => sum + states.data[i * D + j], 0) / copies.length);
  const x = (i: number) => Array.from({ length: D }, (_, j) => states.data[i * D + j] - mean[j]);
  const m = texts.moralVectors(signed);
  const prototype = (k: number, among: number[]) => {
    const sum = new Array<number>(D).fill(0);
    for (const i of among) {
      const weight = Number.isNaN(m[k * N + i]) ? 0 : m[k * N + i];
      x(i).forEach((v, j) => {
        sum[j] += weight * v;
      });
    }
    return sum;
  };
  const cosine = (a: number[], b: number[]) => {
    const dot = (p: number[], q: number[]) => p.reduce((sum, v, j) => sum + v * q[j], 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  };
  const shared = new Set(
    Array.from({ length: N }, (_, i) => i).filter((i) => corpus.rows.text.filter((t) => t === i).length > 1),
  );
  const single = copies.filter((i) => !shared.has(i));
  const opposed = [0, 1, 2, 3, 4].map((f) => cosine(prototype(2 * f, copies), prototype(2 * f + 1, copies)));
  const others = [1, 2, 3, 4].flatMap((g) => [
    cosine(prototype(0, single), prototype(2 * g + 1, single)),
    cosine(prototype(1, single), prototype(2 * g, single)),
  ]);
  const detection = (k: number) => {
    const items = copies.filter((i) => m[k * N + i] > 0 || (m[k * N + i] === 0 && m[(k ^ 1) * N + i] === 0));
    const scores = items.map((i) =>
      cosine(
        x(i),
        prototype(
          k,
          copies.filter((c) => c !== i),
        ),
      ),
    );
    return spearman(
      scores,
      items.map((i) => m[k * N + i]),
    );
  };
  const found = others.filter(Number.isFinite);
  return { opposed, baseline: found.reduce((a, b) => a + b) / found.length, detection: [0, 3, 7].map(detection) };
}

const matmul = await MatMul.open(1);
afterAll(() => matmul.close());

describe('prototypes under draws', () => {
  const corpus = randomCorpus(1);
  const texts = JudgedTexts.of(corpus);
  const states = randomStates(1);
  const { observed, permuted, resampled } = drawAll(texts, { seed: 5, permutations: 3, bootstraps: 70 }, 'test');
  const draws = [observed, ...permuted, ...resampled];

  test('cosines, baseline and left-out rank correlations equal those computed the long way', async () => {
    const checked: number[] = [];
    await visitPrototypes(texts, centre(states), draws, matmul, { oneFoundation: true }, (drawn, index) => {
      if (index % 13 !== 0 && index > 4) return;
      const expected = naive(corpus, states, draws[index], texts);
      const cosines = oppositions(drawn);
      for (let f = 0; f < 5; f++) expect(cosines[f]).toBeCloseTo(expected.opposed[f], 4);
      expect(cosines[5]).toBeCloseTo(expected.opposed.reduce((a, b) => a + b) / 5, 4);
      expect(baselines(drawn)[0]).toBeCloseTo(expected.baseline, 4);
      const correlations = poleCorrelations(drawn);
      [0, 3, 7].forEach((k, i) => {
        expect(correlations[k]).toBeCloseTo(expected.detection[i], 3);
      });
      checked.push(index);
    });
    expect(checked.length).toBeGreaterThan(8);
  });

  test('leaving the text out matters: a prototype that keeps it finds a gradient in noise', async () => {
    let leftOut = 0;
    await visitPrototypes(texts, centre(states), [observed], matmul, { oneFoundation: false }, (drawn) => {
      leftOut = poleCorrelations(drawn)[20];
    });
    let keptIn = 0;
    await visitPrototypes(texts, centre(states), [observed], matmul, { oneFoundation: false }, (drawn) => {
      keptIn = poleCorrelations({ ...drawn, weights: new Float32Array(drawn.weights.length) })[20];
    });
    expect(keptIn).toBeGreaterThan(0.3);
    expect(Math.abs(leftOut)).toBeLessThan(0.2);
  });
});
