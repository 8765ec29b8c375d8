import type { MatMul } from '../graph/matmul.js';
import { determination, type ProjectedTargets, RidgePath } from './ridge.js';

/** 10^-1 ... 10^7 (PAPER.md section 3, analysis 4). */
export const PENALTIES: readonly number[] = [-1, 0, 1, 2, 3, 4, 5, 6, 7].map((exponent) => 10 ** exponent);

/** States and targets of one part of the texts. */
export interface RegressionPart {
  /** [rows, d] */
  x: Float32Array;
  /** [rows, sets * outputs]: the true targets first, then those of each permutation. */
  y: Float32Array;
}

export interface RegressionData {
  train: RegressionPart;
  /** Chooses the penalty. */
  validation: RegressionPart;
  /** Measures. */
  test: RegressionPart;
  d: number;
  /** Targets of one set; the columns of every y are a multiple of it. */
  outputs: number;
}

/** The regression of one set of targets at the penalty that its validation rows chose. */
export interface Regression {
  lambda: number;
  /** R2 of each output on the test rows; NaN for an output that is constant there. */
  r2: Float64Array;
  /** Mean of `r2` over the outputs that vary; NaN where none does. */
  meanR2: number;
  /** Test predictions, [rows, outputs]. */
  predictions: Float32Array;
  /** Effective degrees of freedom, without the intercept. */
  edf: number;
  /** Mean R2 of the training fit. */
  trainingR2: number;
  /** 1 - (1 - R2)(n - 1) / (n - edf - 1) of the training fit; NaN where no degree of freedom is left. */
  adjustedR2: number;
}

/**
 * Ridge regression of several outputs, lambda by the mean validation R2 over outputs, for the true targets and for any number
 * of permuted ones at little more than the price of one: returns one regression for each set, in the order of the columns.
 * All predictions are linear in the targets, so a set chooses its own penalty, exactly as if it had been fitted alone.
 */
export async function fitRidge(
  data: RegressionData,
  matmul: MatMul,
  options: { penalties?: readonly number[]; standardise?: boolean } = {},
): Promise<Regression[]> {
  const { train, validation, test, d, outputs } = data;
  const n = train.x.length / d;
  const columns = train.y.length / n;
  const sets = columns / outputs;
  if (!Number.isInteger(sets)) throw new RangeError(`${columns} target columns are not a multiple of ${outputs} outputs`);
  const path = await RidgePath.fit(train.x, n, d, matmul, options);
  const targets = await path.project(train.y, columns);
  const validationBasis = await path.basis(validation.x);
  const best = new Best(path.size, targets, outputs, sets);
  for (const lambda of options.penalties ?? PENALTIES) {
    const { coefficients, trainingR2 } = path.solve(lambda, targets);
    const r2 = determination(validation.y, await path.predict(validationBasis, coefficients, targets), columns);
    for (let set = 0; set < sets; set++)
      best.offer(set, lambda, mean(r2.subarray(set * outputs, (set + 1) * outputs)), coefficients, trainingR2);
  }
  const predictions = await path.predict(await path.basis(test.x), best.coefficients, targets);
  const r2 = determination(test.y, predictions, columns);
  const edf = new Map<number, number>();
  return Array.from({ length: sets }, (_, set) => {
    const lambda = best.lambda[set];
    if (!edf.has(lambda)) edf.set(lambda, path.edf(lambda));
    const own = r2.slice(set * outputs, (set + 1) * outputs);
    const trainingR2 = best.trainingR2[set];
    const free = n - edf.get(lambda)! - 1;
    return {
      lambda,
      r2: own,
      meanR2: mean(own),
      predictions: takeColumns(predictions, columns, set * outputs, outputs),
      edf: edf.get(lambda)!,
      trainingR2,
      adjustedR2: free > 0 ? 1 - ((1 - trainingR2) * (n - 1)) / free : Number.NaN,
    };
  });
}

/** For each set of targets the penalty that did best so far, and its coefficients. */
class Best {
  readonly lambda: Float64Array;
  readonly trainingR2: Float64Array;
  readonly coefficients: Float32Array;
  private readonly score: Float64Array;

  constructor(
    private readonly size: number,
    private readonly targets: ProjectedTargets,
    private readonly outputs: number,
    sets: number,
  ) {
    this.lambda = new Float64Array(sets).fill(Number.NaN);
    this.trainingR2 = new Float64Array(sets);
    this.score = new Float64Array(sets);
    this.coefficients = new Float32Array(size * targets.columns);
  }

  offer(set: number, lambda: number, score: number, coefficients: Float32Array, trainingR2: Float64Array): void {
    // Validation targets without any variance choose nothing: the first penalty stays.
    if (!Number.isNaN(this.lambda[set]) && !(score > this.score[set])) return;
    const { size, outputs } = this;
    const { columns } = this.targets;
    const from = set * outputs;
    this.lambda[set] = lambda;
    this.score[set] = score;
    this.trainingR2[set] = mean(trainingR2.subarray(from, from + outputs));
    for (let i = 0; i < size; i++)
      for (let j = from; j < from + outputs; j++) this.coefficients[i * columns + j] = coefficients[i * columns + j];
  }
}

function mean(r2: Float64Array): number {
  const known = r2.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

function takeColumns(matrix: Float32Array, columns: number, from: number, count: number): Float32Array {
  const rows = matrix.length / columns;
  const out = new Float32Array(rows * count);
  for (let i = 0; i < rows; i++) out.set(matrix.subarray(i * columns + from, i * columns + from + count), i * count);
  return out;
}
