import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
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
      const { weights, intercept } = await path.weights(fit.coefficients, targets);
      predictions.forEach((value, at) => {
        const [row, output] = [c.n + Math.floor(at / c.outputs), at % c.outputs];
        const terms = Array.from({ length: c.d }, (_, j) => x[row * c.d + j] * weights[j * c.outputs + output]);
        expect(terms.reduce((sum, term) => sum + term, intercept[output])).toBeCloseTo(value, 3);
      });
    }
  },
);

/** Rows of which target 0 is linear, target 1 constant and the others noise. */
function data(rows: number, d: number, columns: number, random: Random) {
  const x = Float32Array.from({ length: rows * d }, () => random.normal() + 100);
  const y = Float32Array.from({ length: rows * columns }, (_, at) => {
    const row = Math.floor(at / columns) * d;
    if (at % columns === 0) return 2 * x[row] - x[row + 3] + 0.3 * random.normal();
    return at % columns === 1 ? 4 : random.normal();
  });
  return { x, y };
}

test.each([
  ['primal', 150, 12],
  ['dual', 40, 60],
])('many targets side by side are fitted as each alone: %s', async (_, n, d) => {
  const random = new Random(11, 'ridge');
  const columns = 150;
  const train = data(n, d, columns, random);
  const other = data(20, d, columns, random);
  const path = await RidgePath.fit(train.x, n, d, matmul);
  const basis = await path.basis(other.x);
  const all = await path.project(train.y, columns);
  const together = path.solve(10, all);
  const predictions = await path.predict(basis, together.coefficients, all);
  for (const c of [0, 2, 63, 64, 149]) {
    const alone = await path.project(
      train.y.filter((_, at) => at % columns === c),
      1,
    );
    const fit = path.solve(10, alone);
    expect(fit.trainingR2[0]).toBeCloseTo(together.trainingR2[c], 5);
    (await path.predict(basis, fit.coefficients, alone)).forEach((value, i) => {
      expect(value).toBeCloseTo(predictions[i * columns + c], 4);
    });
  }
});

test('a linear target is found, a great penalty leaves the mean, a constant target has no R2', async () => {
  const random = new Random(12, 'ridge');
  const [n, d, columns] = [200, 10, 3];
  const train = data(n, d, columns, random);
  const other = data(100, d, columns, random);
  const path = await RidgePath.fit(train.x, n, d, matmul);
  const targets = await path.project(train.y, columns);
  const basis = await path.basis(other.x);
  const predict = (lambda: number) => path.predict(basis, path.solve(lambda, targets).coefficients, targets);
  const r2 = determination(other.y, await predict(1), columns);
  expect(r2[0]).toBeGreaterThan(0.9);
  expect(r2[1]).toBeNaN();
  expect(r2[2]).toBeLessThan(0.1);
  expect(path.solve(1, targets).trainingR2[1]).toBeNaN();
  (await predict(1e12)).forEach((value, at) => {
    expect(value).toBeCloseTo(targets.mean[at % columns], 4);
  });
  expect(path.edf(1e-6)).toBeCloseTo(d, 4);
  expect(path.edf(1e12)).toBeCloseTo(0, 4);
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
