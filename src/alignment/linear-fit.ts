/** @file What the linear remedies are made of at one site: means, probes, components. */
import { LAMBDAS } from '../diagnosis/dimensional.js';
import { polarityLabels } from '../diagnosis/readout.js';
import type { MatMul } from '../graph/matmul.js';
import { takeRows } from '../model/token-rows.js';
import { fitLogistic } from '../statistics/logistic.js';
import { principalComponents } from '../statistics/pca.js';
import { auc } from '../statistics/ranks.js';
import { determination, RidgePath } from '../statistics/ridge.js';
import type { Contrast, Labelling } from './contrast.js';

/** Vectors that one labelling of the texts gives. */
export interface LinearFit {
  /** Mean of the good training texts' states minus that of the bad ones', [d]. */
  difference: Float64Array;
  /** A ridge probe of the judgment's sign: x.w + intercept, [d]. */
  w: Float64Array;
  intercept: number;
  /** The penalty that the validation texts chose by R2, and what the probe's AUC is there. */
  lambda: number;
  validationAuc: number;
  /** Standard deviation (n) of x.w over the training texts. */
  sigma: number;
}

/** The states of the contrasted texts at one site. */
export interface SiteStates {
  d: number;
  train: Float32Array;
  validation: Float32Array;
  test: Float32Array;
}

/** @param states of all rows of the activations, [rows, d] */
export function splitStates(states: Float32Array, d: number, { rows, split }: Contrast): SiteStates {
  const part = (positions: Int32Array) =>
    takeRows(
      states,
      d,
      positions.map((text) => rows[text]),
    );
  return { d, train: part(split.train), validation: part(split.validation), test: part(split.test) };
}

/** Mean of the training states, [d], and the root mean square of their distances from it. */
export function location({ d, train }: SiteStates): { mean: Float64Array; spread: number } {
  const n = train.length / d;
  const mean = new Float64Array(d);
  for (let at = 0; at < train.length; ) for (let c = 0; c < d; c++) mean[c] += train[at++];
  for (let c = 0; c < d; c++) mean[c] /= n;
  let squares = 0;
  for (let at = 0; at < train.length; ) for (let c = 0; c < d; c++) squares += (train[at++] - mean[c]) ** 2;
  return { mean, spread: Math.sqrt(squares / n) };
}

/**
 * Means and probes of several labellings at once: one factorisation serves all, and the choice of the penalty is repeated for each.
 * @param options.weigh texts count by |judgment|, and the probe is fitted to the judgment itself; otherwise to its sign, all alike
 */
export async function fitLinear(
  states: SiteStates,
  { split }: Contrast,
  labellings: readonly Labelling[],
  { weigh = false }: { weigh?: boolean | undefined },
  matmul: MatMul,
): Promise<LinearFit[]> {
  const { d, train, validation } = states;
  const columns = labellings.length;
  const target = (signed: number) => (weigh ? signed : Math.sign(signed));
  const beside = (positions: Int32Array) => {
    const y = new Float32Array(positions.length * columns);
    positions.forEach((text, i) => {
      labellings.forEach(({ signed }, j) => {
        y[i * columns + j] = target(signed[text]);
      });
    });
    return y;
  };
  const path = await RidgePath.fit(train, split.train.length, d, matmul);
  const [trainY, validationY] = [beside(split.train), beside(split.validation)];
  const targets = await path.project(trainY, columns);
  const basis = await path.basis(validation);
  const chosen = new Float32Array(path.size * columns);
  const best = labellings.map(() => ({ r2: Number.NEGATIVE_INFINITY, lambda: Number.NaN, validationAuc: Number.NaN }));
  for (const lambda of LAMBDAS) {
    const { coefficients } = path.solve(lambda, targets);
    const predicted = await path.predict(basis, coefficients, targets);
    const r2 = determination(validationY, predicted, columns);
    best.forEach((kept, j) => {
      if (!(r2[j] > kept.r2)) return;
      const column = (matrix: Float32Array) => Float32Array.from(split.validation, (_, i) => matrix[i * columns + j]);
      const validationAuc = auc(column(predicted), polarityLabels(column(validationY)));
      Object.assign(kept, { r2: r2[j], lambda, validationAuc });
      for (let at = j; at < chosen.length; at += columns) chosen[at] = coefficients[at];
    });
  }
  const { weights, intercept } = await path.weights(chosen, targets);
  return best.map(({ lambda, validationAuc }, j) => {
    const w = Float64Array.from({ length: d }, (_, c) => weights[c * columns + j]);
    const y = Float64Array.from(split.train, (_, i) => trainY[i * columns + j]);
    const scores = products(train, w);
    return {
      difference: meanDifference(train, d, y),
      w,
      intercept: intercept[j],
      lambda,
      validationAuc,
      sigma: deviation(scores),
    };
  });
}

/** Mean of the rows with y > 0 minus mean of those with y < 0, each row counting |y| times, [d]. */
export function meanDifference(x: Float32Array, d: number, y: ArrayLike<number>): Float64Array {
  const sums = [new Float64Array(d), new Float64Array(d)];
  const weights = [0, 0];
  for (let i = 0; i < y.length; i++) {
    if (y[i] === 0) continue;
    const side = y[i] > 0 ? 0 : 1;
    weights[side] += Math.abs(y[i]);
    for (let c = 0, at = i * d; c < d; c++, at++) sums[side][c] += Math.abs(y[i]) * x[at];
  }
  return sums[0].map((sum, c) => sum / weights[0] - sums[1][c] / weights[1]);
}

/**
 * First principal component of paired differences, about 0 and not about their mean, so that what all pairs share counts (repeng's
 * `pca_center`): the unit vector along which good minus bad has the largest mean square, turned so that good lies above bad on average.
 * @param pairs positions in `x` of a good and a bad row each
 * @returns the vector [d], and its share of the differences' squares
 */
export async function pairedComponent(
  x: Float32Array,
  d: number,
  pairs: readonly (readonly [number, number])[],
  matmul: MatMul,
): Promise<{ direction: Float64Array; explained: number }> {
  // Either sign of each: their mean is 0, so nothing is centred away.
  const differences = new Float32Array(2 * pairs.length * d);
  pairs.forEach(([good, bad], i) => {
    for (let c = 0; c < d; c++) {
      const difference = x[good * d + c] - x[bad * d + c];
      differences[2 * i * d + c] = difference;
      differences[(2 * i + 1) * d + c] = -difference;
    }
  });
  const { components, variances, total } = await principalComponents(differences, 2 * pairs.length, d, 1e-9, matmul);
  const direction = Float64Array.from(components.subarray(0, d));
  let along = 0;
  for (let i = 0; i < pairs.length; i++) for (let c = 0; c < d; c++) along += differences[2 * i * d + c] * direction[c];
  return { direction: along < 0 ? direction.map((value) => -value) : direction, explained: variances[0] / total };
}

/**
 * The probability that a text is good, as a probe's score z (standardised over the training texts) gives it: logistic(slope z + offset),
 * fitted on the validation texts, which the probe has not seen (Platt), with lambda 1.
 */
export function calibrate(z: Float64Array, labels: Int8Array): { slope: number; offset: number } {
  const judged = Array.from(labels.keys()).filter((i) => labels[i] >= 0);
  const fit = fitLogistic(
    Float32Array.from(judged, (i) => z[i]),
    judged.map((i) => labels[i]),
    1,
    1,
  );
  const [offset, atOne] = fit.score(Float32Array.of(0, 1));
  return { slope: atOne - offset, offset };
}

/** x.w of every row of x [n, d]. */
export function products(x: Float32Array, w: ArrayLike<number>): Float64Array {
  const d = w.length;
  const found = new Float64Array(x.length / d);
  for (let i = 0, at = 0; i < found.length; i++) for (let c = 0; c < d; c++) found[i] += x[at++] * w[c];
  return found;
}

/** Standard deviation with n. */
export function deviation(values: Float64Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
