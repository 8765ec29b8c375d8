import type { MatMul } from '../graph/matmul.js';
import { Columns } from './columns.js';
import type { Weights } from './ranks.js';
import { Tridiagonal } from './tridiagonal.js';

/** Targets as a fitted path sees them: many columns (outputs, and outputs of permuted judgments) side by side. */
export interface ProjectedTargets {
  columns: number;
  /** Mean of each column over the training rows: the intercept. */
  mean: Float64Array;
  /** Sum of squares about the mean over the training rows. */
  total: Float64Array;
  /** Right-hand sides in the path's basis, [size, columns]. */
  rightHandSide: Float32Array;
}

/**
 * Ridge regression with an intercept for every penalty from one factorisation: the Gram matrix of the training columns
 * (their covariances, or the rows' inner products where there are fewer rows) is reduced once to Q T Q^T with T tridiagonal;
 * a penalty is then one tridiagonal solve, and the products with all targets are fp32 GEMMs.
 */
export class RidgePath {
  private constructor(
    /** Training rows. */
    readonly n: number,
    readonly d: number,
    /** Side of the factorised matrix: the smaller of n and d. */
    readonly size: number,
    private readonly columns: Columns,
    private readonly standardised: boolean,
    private readonly train: Float32Array,
    private readonly t: Tridiagonal,
    /** Q, [size, size]: its transpose, as kept. */
    private readonly transposedQ: Float32Array,
    private readonly matmul: MatMul,
  ) {}

  private get primal(): boolean {
    return this.size === this.d;
  }

  /**
   * @param x training rows, [n, d]; means and deviations are taken from them alone
   * @param options.standardise columns over their deviations (default); false only centres them
   */
  static async fit(
    x: Float32Array,
    n: number,
    d: number,
    matmul: MatMul,
    options: { standardise?: boolean } = {},
  ): Promise<RidgePath> {
    const columns = Columns.of(x, n, d);
    const standardised = options.standardise ?? true;
    const train = standardised ? columns.standardise(x) : columns.centre(x);
    const primal = d <= n;
    const size = Math.min(n, d);
    const gram = await matmul.product(train, train, {
      m: size,
      n: size,
      k: primal ? n : d,
      transposeA: primal,
      transposeB: !primal,
    });
    const t = Tridiagonal.reduce(Float64Array.from(gram), size, { inPlace: true });
    return new RidgePath(n, d, size, columns, standardised, train, t, Float32Array.from(t.transposedQ()), matmul);
  }

  /** Effective degrees of freedom, the sum of e / (e + lambda) over the eigenvalues e, the intercept not counted. */
  edf(lambda: number): number {
    return this.size - lambda * inverseTrace(this.t, lambda);
  }

  /** Targets of the training rows, [n, columns], brought into the path's basis: one product for all columns. */
  async project(y: Float32Array, columns: number): Promise<ProjectedTargets> {
    const { n, size } = this;
    const location = Columns.of(y, n, columns);
    const centred = location.centre(y);
    const onBasis = this.primal
      ? await this.matmul.product(await this.coordinates(this.train), centred, { m: size, n: columns, k: n, transposeA: true })
      : await this.matmul.product(this.transposedQ, centred, { m: size, n: columns, k: n });
    return { columns, mean: location.mean, total: location.deviation.map((s) => n * s * s), rightHandSide: onBasis };
  }

  /** Rows [m, d], not yet standardised, in the path's basis, [m, size]: predictions are this times `coefficients`. */
  async basis(x: Float32Array): Promise<Float32Array> {
    return this.coordinates(this.standardised ? this.columns.standardise(x) : this.columns.centre(x));
  }

  private async coordinates(standardised: Float32Array): Promise<Float32Array> {
    const { n, d, size, transposedQ, matmul } = this;
    const m = standardised.length / d;
    const rows = this.primal ? standardised : await matmul.product(standardised, this.train, { m, n, k: d, transposeB: true });
    return matmul.product(rows, transposedQ, { m, n: size, k: size, transposeB: true });
  }

  /** (T + lambda I)^-1 times the projected targets, [size, columns]; and the R2 of the training fit of each column. */
  solve(lambda: number, targets: ProjectedTargets): { coefficients: Float32Array; trainingR2: Float64Array } {
    const { columns, rightHandSide: z, total } = targets;
    const { size } = this;
    const { pivots, factors } = factorise(this.t, lambda);
    const coefficients = new Float32Array(size * columns);
    const trainingR2 = new Float64Array(columns);
    const strip = new Float64Array(size * STRIP);
    const sums = new Float64Array(STRIP);
    for (let from = 0; from < columns; from += STRIP) {
      const width = Math.min(STRIP, columns - from);
      for (let i = 0; i < size; i++) {
        const factor = i > 0 ? factors[i - 1] : 0;
        const row = i * STRIP;
        const before = i > 0 ? row - STRIP : row;
        const source = i * columns + from;
        for (let j = 0; j < width; j++) strip[row + j] = z[source + j] - factor * strip[before + j];
      }
      sums.fill(0);
      for (let i = size - 1; i >= 0; i--) {
        const inverse = 1 / pivots[i];
        const factor = i + 1 < size ? factors[i] : 0;
        const row = i * STRIP;
        const after = i + 1 < size ? row + STRIP : row;
        const target = i * columns + from;
        for (let j = 0; j < width; j++) {
          const w = strip[row + j] * inverse - factor * strip[after + j];
          strip[row + j] = w;
          coefficients[target + j] = w;
          // Residual squares: primal |y|^2 - 2 z.w + w.T w = |y|^2 - (z.w + lambda |w|^2), dual |lambda w|^2.
          sums[j] += this.primal ? w * (z[target + j] + lambda * w) : lambda * lambda * w * w;
        }
      }
      for (let j = 0; j < width; j++) {
        const explained = this.primal ? sums[j] : total[from + j] - sums[j];
        trainingR2[from + j] = total[from + j] > 0 ? explained / total[from + j] : Number.NaN;
      }
    }
    return { coefficients, trainingR2 };
  }

  /**
   * Predictions [m, columns] of the rows whose `basis` is given.
   * @param coefficients of `solve`, for the same targets
   */
  async predict(basis: Float32Array, coefficients: Float32Array, targets: ProjectedTargets): Promise<Float32Array> {
    const { columns, mean } = targets;
    const m = basis.length / this.size;
    const out = await this.matmul.product(basis, coefficients, { m, n: columns, k: this.size });
    for (let i = 0, at = 0; i < m; i++) for (let j = 0; j < columns; j++, at++) out[at] += mean[j];
    return out;
  }

  /**
   * The map itself, for rows as they come: `predict` gives x weights + intercept.
   * @param coefficients of `solve`, for the same targets
   * @returns weights [d, columns], 0 for a constant column of x; intercept [columns]
   */
  async weights(
    coefficients: Float32Array,
    { columns, mean }: ProjectedTargets,
  ): Promise<{ weights: Float64Array; intercept: Float64Array }> {
    const { n, d, size, transposedQ, matmul } = this;
    const back = await matmul.product(transposedQ, coefficients, { m: size, n: columns, k: size, transposeA: true });
    const scaled = this.primal ? back : await matmul.product(this.train, back, { m: d, n: columns, k: n, transposeA: true });
    const weights = Float64Array.from(scaled);
    const intercept = mean.slice();
    for (let i = 0, at = 0; i < d; i++) {
      const deviation = this.columns.deviation[i];
      const scale = !this.standardised ? 1 : deviation > 0 ? 1 / deviation : 0;
      for (let j = 0; j < columns; j++, at++) {
        weights[at] *= scale;
        intercept[j] -= this.columns.mean[i] * weights[at];
      }
    }
    return { weights, intercept };
  }
}

/** Columns that are solved together: the strip of all rows should stay in the cache. */
const STRIP = 64;

/** T + lambda I = L D L^T: the diagonal of D, and L's entries below its unit diagonal. */
function factorise(t: Tridiagonal, lambda: number): { pivots: Float64Array; factors: Float64Array } {
  const { n, diagonal, offDiagonal } = t;
  const pivots = new Float64Array(n);
  const factors = new Float64Array(Math.max(0, n - 1));
  // The matrix is positive semi-definite but for fp32 rounding; lambda keeps exact arithmetic away from 0.
  const least = lambda / 2;
  for (let i = 0; i < n; i++) {
    const pivot = diagonal[i] + lambda - (i > 0 ? factors[i - 1] * offDiagonal[i - 1] : 0);
    pivots[i] = Math.max(pivot, least);
    if (i + 1 < n) factors[i] = offDiagonal[i] / pivots[i];
  }
  return { pivots, factors };
}

/** Trace of (T + lambda I)^-1, from the factorisations that start at either end. */
function inverseTrace(t: Tridiagonal, lambda: number): number {
  const { n, diagonal, offDiagonal } = t;
  const { pivots } = factorise(t, lambda);
  let trace = 0;
  let below = 0;
  for (let i = n - 1; i >= 0; i--) {
    const own = diagonal[i] + lambda;
    const e = i + 1 < n ? offDiagonal[i] : 0;
    const fromBelow = Math.max(own - (i + 1 < n ? (e * e) / below : 0), lambda / 2);
    trace += 1 / Math.max(pivots[i] + fromBelow - own, lambda / 2);
    below = fromBelow;
  }
  return trace;
}

/**
 * Coefficient of determination of each column about its own mean over these rows, as sklearn.metrics.r2_score; NaN where the
 * truth is constant. With weights (bootstrap counts) row i counts weights[i] times.
 */
export function determination(truth: Float32Array, predictions: Float32Array, columns: number, weights?: Weights): Float64Array {
  const rows = truth.length / columns;
  const mean = new Float64Array(columns);
  const residual = new Float64Array(columns);
  const total = new Float64Array(columns);
  let count = 0;
  for (let i = 0, at = 0; i < rows; i++) {
    const w = weights ? weights[i] : 1;
    count += w;
    for (let j = 0; j < columns; j++, at++) mean[j] += w * truth[at];
  }
  for (let j = 0; j < columns; j++) mean[j] /= count;
  for (let i = 0, at = 0; i < rows; i++) {
    const w = weights ? weights[i] : 1;
    for (let j = 0; j < columns; j++, at++) {
      const miss = truth[at] - predictions[at];
      const spread = truth[at] - mean[j];
      residual[j] += w * miss * miss;
      total[j] += w * spread * spread;
    }
  }
  return residual.map((sum, j) => (total[j] > 1e-12 * count * mean[j] ** 2 ? 1 - sum / total[j] : Number.NaN));
}
