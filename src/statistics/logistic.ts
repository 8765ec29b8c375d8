import { Columns } from './columns.js';

/** Penalties that `chooseLogistic` tries: 10^-2 ... 10^4. */
export const LOGISTIC_PENALTIES: readonly number[] = [-2, -1, 0, 1, 2, 3, 4].map((exponent) => 10 ** exponent);

/** A fitted two-class logistic regression. */
export class Logistic {
  constructor(
    private readonly columns: Columns,
    /** One a column, for standardised columns. */
    readonly weights: Float64Array,
    readonly intercept: number,
    readonly lambda: number,
  ) {}

  /** Log-odds of class 1, one a row of x [rows, d]. */
  score(x: Float32Array): Float64Array {
    return scores(this.columns.standardise(x), this.columns.d, this.weights, this.intercept);
  }

  /** Mean negative log-likelihood of labels (0, 1), nats. */
  loss(x: Float32Array, labels: ArrayLike<number>): number {
    return negativeLogLikelihood(this.score(x), labels) / labels.length;
  }
}

/**
 * L2 logistic regression: minimises -log likelihood + lambda / 2 |w|^2 on standardised columns, the intercept free, by
 * Newton's method (as sklearn's LogisticRegression with C = 1 / lambda after a StandardScaler). n d^2 operations a step: for
 * some hundred columns.
 * @param x [n, d]
 * @param labels 0 or 1, one a row
 * @param start where to begin; a neighbouring penalty's fit saves steps
 */
export function fitLogistic(x: Float32Array, labels: ArrayLike<number>, d: number, lambda: number, start?: Logistic): Logistic {
  const n = labels.length;
  const columns = Columns.of(x, n, d);
  const rows = columns.standardise(x);
  // The intercept is the last unknown.
  const size = d + 1;
  let w = new Float64Array(size);
  if (start) {
    w.set(start.weights);
    w[d] = start.intercept;
  }
  const objective = (at: Float64Array) => {
    let penalty = 0;
    for (let j = 0; j < d; j++) penalty += at[j] * at[j];
    return negativeLogLikelihood(scores(rows, d, at, at[d]), labels) + (lambda / 2) * penalty;
  };
  let value = objective(w);
  for (let iteration = 0; iteration < 100; iteration++) {
    const { gradient, hessian } = derivatives(rows, labels, d, w, lambda);
    const step = solvePositive(hessian, gradient, size);
    let decrement = 0;
    for (let j = 0; j < size; j++) decrement += step[j] * gradient[j];
    if (decrement < 1e-14 * (1 + value)) break;
    // Newton's step overshoots where the sigmoid is flat.
    let accepted = false;
    for (let scale = 1; scale > 1e-8 && !accepted; scale /= 2) {
      const next = w.map((weight, j) => weight - scale * step[j]);
      const there = objective(next);
      if (there <= value - 1e-4 * scale * decrement) {
        accepted = true;
        w = next;
        value = there;
      }
    }
    if (!accepted) break;
  }
  return new Logistic(columns, w.slice(0, d), w[d], lambda);
}

/** The fit on training rows whose penalty has the least loss on validation rows. */
export function chooseLogistic(
  train: { x: Float32Array; labels: ArrayLike<number> },
  validation: { x: Float32Array; labels: ArrayLike<number> },
  d: number,
  penalties: readonly number[] = LOGISTIC_PENALTIES,
): Logistic {
  let best: Logistic | undefined;
  let bestLoss = Infinity;
  let previous: Logistic | undefined;
  for (const lambda of [...penalties].sort((a, b) => b - a)) {
    const fit = fitLogistic(train.x, train.labels, d, lambda, previous);
    const loss = fit.loss(validation.x, validation.labels);
    if (!best || loss < bestLoss) [best, bestLoss] = [fit, loss];
    previous = fit;
  }
  if (!best) throw new RangeError('no penalty to choose from');
  return best;
}

function scores(rows: Float32Array, d: number, weights: Float64Array, intercept: number): Float64Array {
  const out = new Float64Array(rows.length / d).fill(intercept);
  for (let i = 0, at = 0; i < out.length; i++) {
    let sum = 0;
    for (let j = 0; j < d; j++) sum += rows[at++] * weights[j];
    out[i] += sum;
  }
  return out;
}

function negativeLogLikelihood(score: Float64Array, labels: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < score.length; i++) {
    const against = labels[i] === 1 ? -score[i] : score[i];
    sum += against > 0 ? against + Math.log1p(Math.exp(-against)) : Math.log1p(Math.exp(against));
  }
  return sum;
}

function derivatives(rows: Float32Array, labels: ArrayLike<number>, d: number, w: Float64Array, lambda: number) {
  const size = d + 1;
  const gradient = new Float64Array(size);
  const hessian = new Float64Array(size * size);
  const score = scores(rows, d, w, w[d]);
  const n = score.length;
  // The curvature of rows past the end stays 0.
  const curvature = new Float64Array(n + 3);
  for (let i = 0; i < n; i++) {
    const p = 1 / (1 + Math.exp(-score[i]));
    const error = p - (labels[i] === 1 ? 1 : 0);
    curvature[i] = p * (1 - p);
    for (let a = 0; a < d; a++) {
      gradient[a] += error * rows[i * d + a];
      hessian[d * size + a] += curvature[i] * rows[i * d + a];
    }
    gradient[d] += error;
    hessian[d * size + d] += curvature[i];
  }
  // Four rows at a time: the Hessian goes through the cache a quarter as often.
  for (let i = 0; i < n; i += 4) {
    const r0 = i * d;
    const [r1, r2, r3] = [1, 2, 3].map((k) => Math.min(i + k, n - 1) * d);
    for (let a = 0; a < d; a++) {
      const f0 = curvature[i] * rows[r0 + a];
      const f1 = curvature[i + 1] * rows[r1 + a];
      const f2 = curvature[i + 2] * rows[r2 + a];
      const f3 = curvature[i + 3] * rows[r3 + a];
      for (let b = 0, at = a * size; b <= a; b++)
        hessian[at + b] += f0 * rows[r0 + b] + f1 * rows[r1 + b] + f2 * rows[r2 + b] + f3 * rows[r3 + b];
    }
  }
  for (let a = 0; a < d; a++) {
    gradient[a] += lambda * w[a];
    hessian[a * size + a] += lambda;
  }
  return { gradient, hessian };
}

/** Solves A x = b by Cholesky's factorisation of A's lower triangle, in place; A must be positive definite, or nearly. */
function solvePositive(a: Float64Array, b: Float64Array, n: number): Float64Array {
  let largest = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, a[i * n + i]);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j];
      for (let k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i === j ? Math.sqrt(Math.max(sum, 1e-14 * largest, Number.MIN_VALUE)) : sum / a[j * n + j];
    }
  }
  const x = b.slice();
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] -= a[i * n + k] * x[k];
    x[i] /= a[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] -= a[k * n + i] * x[k];
    x[i] /= a[i * n + i];
  }
  return x;
}
