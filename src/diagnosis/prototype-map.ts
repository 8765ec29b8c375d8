import { POLES } from '../moral/foundation.js';
import { symmetricEigen } from '../statistics/eigen.js';
import type { Diagnosis } from './schema.js';

/**
 * The prototypes in the plane: classical scaling (Torgerson) of their cosine distances, squared distance 2 (1 - cosine). Poles without a
 * prototype are left out.
 */
export function prototypeMap(matrix: (number | null)[][]): Diagnosis['map']['points'] {
  const present = POLES.map((pole, k) => ({ pole, k })).filter(({ k }) => matrix[k][k] !== null);
  const n = present.length;
  if (n < 2) return present.map(({ pole }) => ({ pole, x: 0, y: 0 }));
  const squared = present.map(({ k: a }) => present.map(({ k: b }) => 2 * (1 - (matrix[a][b] ?? 0))));
  const means = squared.map((row) => row.reduce((sum, v) => sum + v, 0) / n);
  const overall = means.reduce((sum, v) => sum + v, 0) / n;
  const gram = Float64Array.from({ length: n * n }, (_, at) => {
    const [a, b] = [Math.floor(at / n), at % n];
    return -(squared[a][b] - means[a] - means[b] + overall) / 2;
  });
  const { values, vectors } = symmetricEigen(gram, n);
  const axis = (rank: number) => present.map((_, i) => Math.sqrt(Math.max(0, values[rank])) * vectors[rank * n + i]);
  const [x, y] = [axis(0), axis(1)];
  return present.map(({ pole }, i) => ({ pole, x: x[i], y: y[i] }));
}
