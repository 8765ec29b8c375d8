import type { MatMul } from '../graph/matmul.js';
import { Columns } from './columns.js';
import { fixSign, symmetricEigen } from './eigen.js';

export interface PrincipalComponents {
  /** Components that are kept. */
  count: number;
  /** Variance (with n - 1) along every component, largest first; min(n - 1, d) of them. */
  variances: Float64Array;
  /** Total variance. */
  total: number;
  /** Unit vectors, [count, d]; the entry of the largest size is positive. */
  components: Float32Array;
  /** The centred rows on the components, [n, count]. */
  projections: Float32Array;
}

/**
 * Principal components up to a share of the variance (docs/paper.md section 3.3): the fewest whose variances add up to `share` of
 * the total. Rows are centred before anything is squared; then an fp32 Gram matrix of the smaller side, fp64 from there on.
 * @param x [n, d]
 * @param share in (0, 1]
 */
export async function principalComponents(
  x: Float32Array,
  n: number,
  d: number,
  share: number,
  matmul: MatMul,
): Promise<PrincipalComponents> {
  const centred = Columns.of(x, n, d).centre(x);
  const byColumns = d <= n;
  const size = Math.min(n, d);
  const shape = { m: size, n: size, k: byColumns ? n : d, transposeA: byColumns, transposeB: !byColumns };
  const gram = Float64Array.from(await matmul.product(centred, centred, shape));
  const kept = Math.min(n - 1, d);
  const { values, vectors } = symmetricEigen(gram, size, (all) => componentsFor(share, all.subarray(0, kept)));
  const variances = values.slice(0, kept).map((value) => Math.max(0, value) / (n - 1));
  const total = variances.reduce((sum, variance) => sum + variance, 0);
  const leading = Float32Array.from(vectors);
  const count = leading.length / size;
  const components = byColumns ? leading : await matmul.product(leading, centred, { m: count, n: d, k: n });
  if (!byColumns) normaliseRows(components, d);
  const projections = await matmul.product(centred, components, { m: n, n: count, k: d, transposeB: true });
  return { count, variances, total, components, projections };
}

function componentsFor(share: number, values: Float64Array): number {
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  let count = 0;
  // A component of rounding noise adds nothing that could reach the share.
  for (let sum = 0; count < values.length && values[count] > 1e-12 * total && sum < share * total; count++) sum += values[count];
  return count;
}

function normaliseRows(rows: Float32Array, d: number): void {
  for (let from = 0; from < rows.length; from += d) {
    const row = rows.subarray(from, from + d);
    let squares = 0;
    for (const value of row) squares += value * value;
    const norm = Math.sqrt(squares);
    for (let j = 0; j < d; j++) row[j] /= norm;
    fixSign(row);
  }
}
