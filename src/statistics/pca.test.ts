import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import { principalComponents } from './pca.js';

interface Case {
  name: string;
  n: number;
  d: number;
  x: number[];
  share: number;
  components: number;
  variances: number[];
  absoluteProjections: number[];
}
const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));
let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

describe.each((golden.pca as Case[]).map((c) => [c.name, c] as const))('%s', (_, c) => {
  test('as scikit-learn', async () => {
    const pca = await principalComponents(Float32Array.from(c.x), c.n, c.d, c.share, matmul);
    expect(pca.count).toBe(c.components);
    expect(pca.variances).toHaveLength(c.variances.length);
    // fp32 products of centred data: relative to the largest
    c.variances.forEach((variance, i) => {
      expect(Math.abs(pca.variances[i] - variance)).toBeLessThan(2e-6 * c.variances[0]);
    });
    const scale = Math.sqrt(c.variances[0]);
    c.absoluteProjections.forEach((value, i) => {
      expect(Math.abs(Math.abs(pca.projections[i]) - value)).toBeLessThan(1e-5 * scale);
    });
  });

  test('components are unit vectors with a fixed sign, and reproduce themselves', async () => {
    const x = Float32Array.from(c.x);
    const pca = await principalComponents(x, c.n, c.d, c.share, matmul);
    for (let k = 0; k < pca.count; k++) {
      const row = pca.components.subarray(k * c.d, (k + 1) * c.d);
      expect(row.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(1, 5);
      const largest = row.reduce((most, v) => (Math.abs(v) > Math.abs(most) * (1 + 1e-6) ? v : most), 0);
      expect(largest).toBeGreaterThan(0);
    }
    expect(await principalComponents(x, c.n, c.d, c.share, matmul)).toEqual(pca);
  });
});

test('states that are all the same have no component', async () => {
  const pca = await principalComponents(new Float32Array(40).fill(35_000), 10, 4, 0.95, matmul);
  expect(pca.count).toBe(0);
  expect(pca.projections).toHaveLength(0);
});
