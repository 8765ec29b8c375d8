import { expect, test } from 'vitest';
import { LAYER_FIGURES } from '../activations/precision-error.js';
import { MatMul } from '../graph/matmul.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { plantedStates } from './planted.test.support.js';
import { ProbeFigures } from './probe-figures.js';
import { PROBE } from './probe-texts.js';
import type { States } from './states.js';

const WIDTH = 24;
const matmul = await MatMul.open(1);
const probe = new ProbeFigures(PROBE, matmul);
const noisy = ({ n, d, data }: States, by: number): States => {
  const random = new Random(1, 'perturbation');
  return { n, d, data: data.map((value) => value + by * random.normal()) };
};

test('the probe texts are ten of each pole and six neutrals a foundation, all different', () => {
  const { texts, rows } = PROBE;
  expect(new Set(texts).size).toBe(130);
  const count = (keep: (foundation: number, signed: number) => boolean) =>
    texts.filter((_, i) => keep(rows.foundation[i], rows.signed[i])).length;
  for (const k of POLES.keys()) expect(count((f, signed) => f === k >> 1 && (k % 2 ? signed < 0 : signed > 0))).toBe(10);
  for (const f of FOUNDATIONS.keys()) expect(count((g, signed) => g === f && signed === 0)).toBe(6);
  expect(new Set(rows.signed.map(Math.abs))).toEqual(new Set([0, 0.25, 0.5, 0.75, 1]));
});

test('finds what is planted, and nothing in noise', async () => {
  const planted = await probe.ofLayer(plantedStates(PROBE, WIDTH, 3, { valence: 8, topic: 8, poles: 8 }));
  expect(planted['gradient.detection']).toBeGreaterThan(0.5);
  expect(planted['gradient.gradient']).toBeGreaterThan(0.4);
  expect(planted['structural.kmeansAmi.foundation']).toBeGreaterThan(0.6);
  expect(planted['dimensional.r2']).toBeGreaterThan(0.5);
  expect(planted['knows.auc']).toBeGreaterThan(0.95);

  const noise = await probe.ofLayer(plantedStates(PROBE, WIDTH, 3, { valence: 0 }));
  for (const figure of ['gradient.detection', 'gradient.gradient', 'structural.kmeansAmi.foundation'] as const)
    expect(Math.abs(noise[figure]!)).toBeLessThan(0.2);
  expect(noise['dimensional.r2']).toBeLessThan(0.05);
  expect(Math.abs(noise['knows.auc']! - 0.5)).toBeLessThan(0.15);
});

test('is the same for the same states, and every figure moves with them', async () => {
  const states = plantedStates(PROBE, WIDTH, 5, { valence: 4, topic: 4, poles: 4 });
  const before = await probe.ofLayer(states);
  expect(await probe.ofLayer({ ...states, data: states.data.slice() })).toEqual(before);
  const after = await probe.ofLayer(noisy(states, 4));
  for (const figure of LAYER_FIGURES) expect(after[figure], figure).not.toBe(before[figure]);
  for (const figure of ['gradient.detection', 'structural.kmeansAmi.foundation', 'dimensional.r2', 'knows.auc'] as const)
    expect(after[figure]!, figure).toBeLessThan(before[figure]! - 0.05);
  const little = await probe.ofLayer(noisy(states, 0.01));
  for (const figure of ['categorical.mean', 'gradient.detection', 'dimensional.r2', 'knows.auc'] as const)
    expect(Math.abs(little[figure]! - before[figure]!), figure).toBeLessThan(0.02);
});

test('the readout is judged by AUC, rank and bias', () => {
  const { signed } = PROBE.rows;
  const odds = Float64Array.from(signed, (judged) => 3 + judged);
  expect(probe.ofReadout(odds)).toEqual({ auc: 1, spearman: expect.closeTo(1, 9), bias: expect.closeTo(3, 6) });
});

test('states without any spread have no figures', async () => {
  const flat = await probe.ofLayer({ n: 130, d: WIDTH, data: new Float32Array(130 * WIDTH).fill(2) });
  for (const figure of ['categorical.mean', 'gradient.detection'] as const) expect(flat[figure]).toBeNull();
});
