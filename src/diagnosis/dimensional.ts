import type { MatMul } from '../graph/matmul.js';
import { POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { auc, spearman } from '../statistics/ranks.js';
import { bootstrapCounts, meanOfFinite } from '../statistics/resampling.js';
import { determination, RidgePath } from '../statistics/ridge.js';
import type { Design } from './design.js';
import { type DrawnStatistic, figure, finite } from './figure.js';
import { polarityLabels } from './readout.js';
import type { Dimensional, Figure } from './schema.js';
import { type States, select } from './states.js';

const K = POLES.length;
/** The ten dimensions and the signed judgment. */
const WIDTH = K + 1;
/** 10^-1 ... 10^7 (docs/paper.md section 3.4). */
export const LAMBDAS = Array.from({ length: 9 }, (_, i) => 10 ** (i - 1));

/** R2 of each pole, then their mean, as the statistics of analysis 4 stand. */
const R2_MEAN = K;
const PROBE_AUC = 0;
const PROBE_SPEARMAN = 1;

/** What can be had without a model: the floor and the ceiling that stand beside every layer. */
export interface WordFigures {
  /** Mean R2 of a bag-of-words ridge on the same split. */
  floor: Figure;
  /** What repeated annotation of the same text allows. */
  ceiling: Figure;
  /** AUC of virtue against vice of a bag of words on the test texts. */
  auc: Figure;
}

export interface DimensionalResult {
  dimensional: Dimensional;
  knows: Figure;
  spearman: Figure;
  /** On validation texts: mean R2, and the probe's AUC. */
  onValidation: { dimensional: number; knows: number };
  statistic: DrawnStatistic;
}

/** What held-out texts say of a linear map. */
interface LinearReading {
  /** R2 of each pole, then their mean. */
  r2: DrawnStatistic;
  /** AUC and Spearman of the predicted signed judgment. */
  probe: DrawnStatistic;
  observed: HeldOut;
}

/** Predictions for the test texts under the penalty that validation chose, dimension by dimension; one entry a draw. */
interface HeldOut {
  lambda: number;
  validationR2: number;
  trainingR2: number;
  /** Of the observed judgments alone, as is `validationAuc`. */
  edf: number;
  /** [test, 11] */
  test: Float32Array;
  /** AUC on validation texts of the signed judgment's predictions. */
  validationAuc: number;
}

/** Analysis 4: what a linear map reads from uncentred states, beside the floor and the ceiling. */
export async function dimensional(
  states: States,
  design: Design,
  words: WordFigures,
  matmul: MatMul,
): Promise<DimensionalResult> {
  const { r2, probe, observed } = await readLinearly(states, design, matmul);
  const { lambda, edf, trainingR2 } = observed;
  const n = design.split.train.length;
  return {
    dimensional: {
      r2: r2Figure(r2),
      adjustedR2: edf < n - 1 ? 1 - ((1 - trainingR2) * (n - 1)) / (n - edf - 1) : null,
      edf: finite(edf),
      lambda: finite(lambda),
      perPole: Object.fromEntries(POLES.map((pole, k) => [pole, r2Figure(r2, k)])) as Dimensional['perPole'],
      floor: words.floor,
      ceiling: words.ceiling,
    },
    knows: probeFigure(probe),
    spearman: figure(probe, PROBE_SPEARMAN, {
      better: 'greater',
      bounds: [-1, 1],
      whyEmpty: 'the test texts are all judged alike',
    }),
    onValidation: { dimensional: observed.validationR2, knows: observed.validationAuc },
    statistic: r2,
  };
}

/** R2 of one pole, or the mean over the ten. */
export function r2Figure(r2: DrawnStatistic, pole: number = R2_MEAN): Figure {
  const whyEmpty = pole === R2_MEAN ? 'no pole varies among the test texts' : `no text of ${POLES[pole]} among the test texts`;
  return figure(r2, pole, { better: 'greater', bounds: [Number.NEGATIVE_INFINITY, 1], whyEmpty });
}

/** AUC of virtue against vice. */
export function probeFigure(probe: DrawnStatistic): Figure {
  return figure(probe, PROBE_AUC, { better: 'greater', bounds: [0, 1], whyEmpty: 'the test texts lack a virtue or a vice' });
}

/**
 * A linear map to the ten moral dimensions and the signed judgment (docs/paper.md section 3.4): ridge fitted on training texts, penalty chosen on
 * validation texts (one for the ten dimensions, one for the judgment), everything measured on test texts. Under the null the whole procedure
 * is repeated with permuted judgments, the choice of the penalty included; the interval resamples the test texts.
 */
export async function readLinearly(
  states: States,
  design: Design,
  matmul: MatMul,
  options: { standardise?: boolean } = {},
): Promise<LinearReading> {
  const { split, draws, counts, targets: stack } = design;
  const held = await heldOut(states, stack, design, matmul, options);
  const truth = stack.map((y) => rowsOf(y, split.test));
  const tests = split.test.length;
  const [observed] = held;
  const probe = (b: number, weights?: Uint16Array) => probeStatistics(truth[b], held[b].test, weights);
  const r2 = (b: number, weights?: Uint16Array) => withMean(determination(truth[b], held[b].test, WIDTH, weights).subarray(0, K));
  const permuted = draws.permuted.map((_, b) => b + 1);
  const resamples = Array.from({ length: counts.bootstraps }, (_, b) =>
    bootstrapCounts(tests, new Random(counts.seed, 'test', b)),
  );
  return {
    r2: {
      observed: r2(0),
      permuted: permuted.map((b) => r2(b)),
      resampled: resamples.map((weights) => r2(0, weights)),
    },
    probe: {
      observed: probe(0),
      permuted: permuted.map((b) => probe(b)),
      resampled: resamples.map((weights) => probe(0, weights)),
    },
    observed,
  };
}

/** Ridge on training texts for every stack of targets at once. */
async function heldOut(
  states: States,
  stack: Float32Array[],
  { split }: Design,
  matmul: MatMul,
  options: { standardise?: boolean },
): Promise<HeldOut[]> {
  const { d } = states;
  const columns = stack.length * WIDTH;
  const beside = (positions: Int32Array) => {
    const y = new Float32Array(positions.length * columns);
    positions.forEach((p, i) => {
      stack.forEach((targets, b) => {
        y.set(targets.subarray(p * WIDTH, (p + 1) * WIDTH), i * columns + b * WIDTH);
      });
    });
    return y;
  };
  const part = (positions: Int32Array) => select(states, positions).data;
  const path = await RidgePath.fit(part(split.train), split.train.length, d, matmul, options);
  const projected = await path.project(beside(split.train), columns);
  const validation = await path.basis(part(split.validation));
  const validationY = beside(split.validation);
  const best: HeldOut[] = stack.map(() => ({
    lambda: Number.NaN,
    validationR2: Number.NEGATIVE_INFINITY,
    trainingR2: Number.NaN,
    edf: Number.NaN,
    test: new Float32Array(0),
    validationAuc: Number.NaN,
  }));
  const bestJudgment = new Float64Array(stack.length).fill(Number.NEGATIVE_INFINITY);
  const chosen = new Float32Array(path.size * columns);
  for (const lambda of LAMBDAS) {
    const { coefficients, trainingR2 } = path.solve(lambda, projected);
    const predicted = await path.predict(validation, coefficients, projected);
    const r2 = determination(validationY, predicted, columns);
    best.forEach((kept, b) => {
      const from = b * WIDTH;
      const dimensions = meanOfFinite(r2.subarray(from, from + K));
      if (dimensions > kept.validationR2) {
        Object.assign(kept, { lambda, validationR2: dimensions, trainingR2: meanOfFinite(trainingR2.subarray(from, from + K)) });
        copyColumns(coefficients, chosen, columns, from, K);
      }
      if (r2[from + K] > bestJudgment[b]) {
        bestJudgment[b] = r2[from + K];
        copyColumns(coefficients, chosen, columns, from + K, 1);
        kept.validationAuc =
          b > 0 ? Number.NaN : auc(columnOf(predicted, columns, K), polarityLabels(columnOf(validationY, columns, K)));
      }
    });
  }
  const predicted = await path.predict(await path.basis(part(split.test)), chosen, projected);
  best.forEach((kept, b) => {
    kept.edf = b > 0 ? Number.NaN : path.edf(kept.lambda);
    kept.test = new Float32Array(split.test.length * WIDTH);
    for (let i = 0; i < split.test.length; i++)
      kept.test.set(predicted.subarray(i * columns + b * WIDTH, i * columns + (b + 1) * WIDTH), i * WIDTH);
  });
  return best;
}

function probeStatistics(truth: Float32Array, predicted: Float32Array, weights?: Uint16Array): Float64Array {
  const [judged, scores] = [columnOf(truth, WIDTH, K), columnOf(predicted, WIDTH, K)];
  return Float64Array.of(auc(scores, polarityLabels(judged), weights), spearman(scores, judged, weights));
}

/** The values and, last, the mean of those that are finite. */
function withMean(values: Float64Array): Float64Array {
  return Float64Array.of(...values, meanOfFinite(values));
}

function rowsOf(y: Float32Array, positions: Int32Array): Float32Array {
  return select({ n: y.length / WIDTH, d: WIDTH, data: y }, positions).data;
}

function copyColumns(from: Float32Array, to: Float32Array, width: number, first: number, count: number): void {
  for (let row = first; row < from.length; row += width) for (let at = row; at < row + count; at++) to[at] = from[at];
}

function columnOf(matrix: Float32Array, width: number, column: number): Float32Array {
  return Float32Array.from({ length: matrix.length / width }, (_, i) => matrix[i * width + column]);
}
