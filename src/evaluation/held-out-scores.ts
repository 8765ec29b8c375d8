/** @file What can be told of texts that nothing was fitted on: from states, from words, from the untouched model's own next-token log-probabilities. */
import { LAMBDAS } from '../diagnosis/dimensional.js';
import { polarityLabels } from '../diagnosis/readout.js';
import { type States, select } from '../diagnosis/states.js';
import type { MatMul } from '../graph/matmul.js';
import { Random } from '../random.js';
import { BagOfWords } from '../statistics/bag-of-words.js';
import { chooseLogistic } from '../statistics/logistic.js';
import { mean, standardDeviation } from '../statistics/resampling.js';
import { RidgePath } from '../statistics/ridge.js';
import type { LabelledTexts } from './labelled-texts.js';

/** Texts by position: some to fit on, some to choose a penalty by, some to score. */
export interface Fold {
  train: Int32Array;
  validation: Int32Array;
  test: Int32Array;
}

const FOLDS = 5;
/** Of the texts that are not scored, this share chooses the penalty. */
const VALIDATION_SHARE = 1 / 8;

/** Folds by unit, so that every text is scored once by what was fitted on other units. */
export function crossFolds({ unit, units }: Pick<LabelledTexts, 'unit' | 'units'>, seed: number): Fold[] {
  const order = new Random(seed, 'cross-fitting').permutation(units);
  const rank = new Int32Array(units);
  order.forEach((of, i) => {
    rank[of] = i;
  });
  const positions = Int32Array.from(unit.keys());
  return Array.from({ length: FOLDS }, (_, f) => {
    const isTest = (text: number) => rank[unit[text]] % FOLDS === f;
    // Units of the other folds, by their order: the last ones choose the penalty.
    const first = Math.round(units * (1 - VALIDATION_SHARE));
    return {
      train: positions.filter((text) => !isTest(text) && rank[unit[text]] < first),
      validation: positions.filter((text) => !isTest(text) && rank[unit[text]] >= first),
      test: positions.filter(isTest),
    };
  });
}

/** Scores of texts, by position. */
type Scorer = (positions: Int32Array) => Promise<Float32Array | Float64Array>;

/**
 * Scores of all texts that some fold scores, NaN elsewhere. Folds have fits of their own, so with several the scores of each are taken in
 * standard deviations from the mean of what the same fit gives to its training and validation texts.
 */
async function heldOut(
  texts: number,
  folds: readonly Fold[],
  fitted: (fold: Fold) => Promise<Scorer | undefined>,
): Promise<Float64Array> {
  const scores = new Float64Array(texts).fill(Number.NaN);
  for (const fold of folds) {
    const score = await fitted(fold);
    if (!score) continue;
    // By the tested texts' own mean, what sets folds apart in their balance would be lost. Validation texts are out of sample, but a handful:
    // alone they would lose as much. Training texts are scored in sample, too far apart, but so in all folds; together they come close.
    const others = folds.length > 1 ? await score(Int32Array.of(...fold.train, ...fold.validation)) : [];
    const [centre, spread] = folds.length > 1 ? [mean(others), standardDeviation(others) || 1] : [0, 1];
    const found = await score(fold.test);
    fold.test.forEach((text, i) => {
      scores[text] = (found[i] - centre) / spread;
    });
  }
  return scores;
}

/** The signed judgment as a ridge reads it from states [texts, d]; the penalty is the one with the least squared error on validation texts. */
export function probeScores(
  states: States,
  valence: Float32Array,
  folds: readonly Fold[],
  matmul: MatMul,
): Promise<Float64Array> {
  return heldOut(states.n, folds, (fold) => ridge(states, valence, fold, matmul));
}

/** The same probe fitted on one data set and carried over to the states of another, all of whose texts are scored. */
export async function carriedScores(
  from: { set: Pick<LabelledTexts, 'valence'>; folds: readonly Fold[]; states: States },
  to: States,
  matmul: MatMul,
): Promise<Float64Array> {
  const { n } = from.states;
  const joined = { n: n + to.n, d: to.d, data: new Float32Array((n + to.n) * to.d) };
  joined.data.set(from.states.data);
  joined.data.set(to.data, from.states.data.length);
  const { train, validation } = from.folds[0];
  const fold = { train, validation, test: Int32Array.from({ length: to.n }, (_, text) => n + text) };
  return (await probeScores(joined, from.set.valence, [fold], matmul)).subarray(n);
}

async function ridge(
  states: States,
  valence: Float32Array,
  { train, validation }: Fold,
  matmul: MatMul,
  options: { standardise?: boolean } = {},
): Promise<Scorer> {
  const rows = (positions: Int32Array) => select(states, positions).data;
  const path = await RidgePath.fit(rows(train), train.length, states.d, matmul, options);
  const targets = await path.project(
    Float32Array.from(train, (text) => valence[text]),
    1,
  );
  const onValidation = await path.basis(rows(validation));
  let least = Number.POSITIVE_INFINITY;
  let chosen: Float32Array = new Float32Array(path.size);
  for (const lambda of LAMBDAS) {
    const { coefficients } = path.solve(lambda, targets);
    const predicted = await path.predict(onValidation, coefficients, targets);
    // R2 would choose the same, but there is none where all of them are judged alike.
    const error = predicted.reduce((sum, value, i) => sum + (value - valence[validation[i]]) ** 2, 0);
    if (error < least) [least, chosen] = [error, coefficients];
  }
  return async (positions) => path.predict(await path.basis(rows(positions)), chosen, targets);
}

/** The same from counts of the texts' words, whose vocabulary is that of the training texts. */
export function bagOfWordsScores(
  { texts, valence }: Pick<LabelledTexts, 'texts' | 'valence'>,
  folds: readonly Fold[],
  matmul: MatMul,
): Promise<Float64Array> {
  return heldOut(texts.length, folds, async (fold) => {
    const bag = BagOfWords.fit(Array.from(fold.train, (text) => texts[text]));
    if (bag.size === 0) return undefined;
    const states = { n: texts.length, d: bag.size, data: bag.matrix(texts) };
    return ridge(states, valence, fold, matmul, { standardise: false });
  });
}

/** Logistic regression on the untouched model's next-token log-probabilities [texts, width]: what calibrating the output alone would give. */
export function recalibratedScores(logProbs: Float32Array, valence: Float32Array, folds: readonly Fold[]): Promise<Float64Array> {
  const labels = polarityLabels(valence);
  const states = { n: labels.length, d: logProbs.length / labels.length, data: logProbs };
  return heldOut(labels.length, folds, async ({ train, validation }) => {
    const part = (positions: Int32Array) => {
      const judged = positions.filter((text) => labels[text] >= 0);
      return { x: select(states, judged).data, labels: Array.from(judged, (text) => labels[text]) };
    };
    const [fitted, chosenOn] = [part(train), part(validation)];
    if (new Set(fitted.labels).size < 2 || chosenOn.labels.length === 0) return undefined;
    const logistic = chooseLogistic(fitted, chosenOn, states.d);
    return async (positions) => logistic.score(select(states, positions).data);
  });
}
