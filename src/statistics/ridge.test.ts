import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
import { fitRidge } from './regression.js';
import { determination, RidgePath } from './ridge.js';

interface Case {
  name: string;
  n: number;
  d: number;
  x: number[];
  y: number[];
  outputs: number;
  grid: { lambda: number; predictions: number[]; r2: number[]; trainingR2: number[]; edf: number }[];
}
const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));
let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

test.each((golden.ridge as Case[]).map((c) => [c.name, c] as const))(
  '%s ridge as scikit-learn on standardised columns',
  async (_, c) => {
    const x = Float32Array.from(c.x);
    const y = Float32Array.from(c.y);
    const path = await RidgePath.fit(x.slice(0, c.n * c.d), c.n, c.d, matmul);
    expect(path.size).toBe(Math.min(c.n, c.d));
    const targets = await path.project(y.slice(0, c.n * c.outputs), c.outputs);
    const basis = await path.basis(x.slice(c.n * c.d));
    for (const { lambda, predictions, r2, trainingR2, edf } of c.grid) {
      const fit = path.solve(lambda, targets);
      const ours = await path.predict(basis, fit.coefficients, targets);
      predictions.forEach((value, i) => {
        expect(ours[i]).toBeCloseTo(value, 4);
      });
      const own = determination(y.slice(c.n * c.outputs), ours, c.outputs);
      r2.forEach((value, i) => {
        expect(own[i]).toBeCloseTo(value, 4);
      });
      trainingR2.forEach((value, i) => {
        expect(fit.trainingR2[i]).toBeCloseTo(value, 4);
      });
      expect(path.edf(lambda)).toBeCloseTo(edf, 3);
    }
  },
);

/** Rows of which the first target is linear and the second constant; the other sets' targets are other people's. */
function data(sets: number) {
  const random = new Random(11, 'ridge');
  const [d, outputs] = [12, 3];
  const weights = Float64Array.from({ length: d }, () => random.normal());
  const part = (rows: number) => {
    const x = Float32Array.from({ length: rows * d }, () => random.normal() + 100);
    const y = new Float32Array(rows * sets * outputs);
    for (let i = 0; i < rows; i++) {
      const signal = weights.reduce((sum, w, j) => sum + w * (x[i * d + j] - 100), 0);
      for (let set = 0; set < sets; set++) {
        y[(i * sets + set) * outputs] = set === 0 ? signal + 0.5 * random.normal() : random.normal();
        y[(i * sets + set) * outputs + 1] = 4;
        y[(i * sets + set) * outputs + 2] = random.normal();
      }
    }
    return { x, y };
  };
  return { train: part(150), validation: part(60), test: part(80), d, outputs };
}

test('every set of targets is fitted as if it were alone', async () => {
  const sets = 4;
  const all = data(sets);
  const together = await fitRidge(all, matmul);
  expect(together).toHaveLength(sets);
  for (let set = 0; set < sets; set++) {
    const only = (y: Float32Array) => y.filter((_, i) => Math.floor(i / 3) % sets === set);
    const alone = await fitRidge(
      {
        ...all,
        train: { x: all.train.x, y: only(all.train.y) },
        validation: { x: all.validation.x, y: only(all.validation.y) },
        test: { x: all.test.x, y: only(all.test.y) },
      },
      matmul,
    );
    expect(together[set].lambda).toBe(alone[0].lambda);
    expect(together[set].meanR2).toBeCloseTo(alone[0].meanR2, 5);
    expect(together[set].adjustedR2).toBeCloseTo(alone[0].adjustedR2, 5);
    expect(together[set].predictions).toHaveLength(80 * 3);
  }
});

test('a linear target is found, noise is shrunk away, a constant one has no R2', async () => {
  const [truth, noise] = await fitRidge(data(2), matmul);
  expect(truth.r2[0]).toBeGreaterThan(0.9);
  expect(truth.r2[1]).toBeNaN();
  expect(noise.meanR2).toBeLessThan(0.1);
  expect(noise.lambda).toBeGreaterThan(truth.lambda);
  expect(noise.edf).toBeLessThan(truth.edf);
  expect(truth.adjustedR2).toBeLessThan(truth.trainingR2);
  expect(truth.edf).toBeLessThanOrEqual(12);
});

test('weights stand for copies', () => {
  const random = new Random(2, 'determination');
  const truth = Float32Array.from({ length: 20 }, () => random.normal());
  const predictions = truth.map((v) => v + random.normal());
  const weights = Uint8Array.from({ length: 10 }, () => random.below(4));
  const copies = [...weights].flatMap((w, i) => Array<number>(w).fill(i));
  const pick = (m: Float32Array) => Float32Array.from(copies.flatMap((i) => [m[2 * i], m[2 * i + 1]]));
  const weighted = determination(truth, predictions, 2, weights);
  determination(pick(truth), pick(predictions), 2).forEach((value, j) => {
    expect(weighted[j]).toBeCloseTo(value, 10);
  });
});
