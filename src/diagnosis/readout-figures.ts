import type { ReadoutLogProbs } from '../activations/directory.js';
import { Random } from '../random.js';
import { chooseLogistic } from '../statistics/logistic.js';
import { auc } from '../statistics/ranks.js';
import { bootstrapCounts } from '../statistics/resampling.js';
import type { Design } from './design.js';
import type { WordFigures } from './dimensional.js';
import { empty, figure } from './figure.js';
import { logOdds, polarityLabels, READOUT, readoutStatistics } from './readout.js';
import type { Figure, Readout } from './schema.js';
import { select } from './states.js';

/** Analysis 5 (docs/paper.md section 3.5): what the model would say, its floors, and bias beside discrimination, never mixed. */
export function diagnoseReadout(captured: ReadoutLogProbs | undefined, design: Design, words: WordFigures): Readout {
  const { texts, draws, split } = design;
  if (!captured || captured.pairs.length === 0) return withoutReadout(captured === undefined, words);
  const width = captured.tokenIds.length;
  const logProbs = new Float32Array(texts.length * width);
  texts.ids.forEach((id, i) => {
    logProbs.set(captured.logProbs.subarray(id * width, (id + 1) * width), i * width);
  });
  const odds = logOdds(logProbs, width, captured.pairs);
  const valence = texts.valence();
  const statistic = {
    observed: readoutStatistics(odds, valence),
    permuted: draws.permuted.map(({ signed }) => readoutStatistics(odds, texts.valence(signed))),
    resampled: draws.resampled.map(({ counts }) => readoutStatistics(odds, valence, counts)),
  };
  const whyEmpty = 'the texts lack a virtue or a vice';
  const {
    null: _,
    p: __,
    detectable: ___,
    ...bias
  } = figure(statistic, READOUT.bias, { better: 'greater', bounds: [-Infinity, Infinity], whyEmpty });
  const labels = polarityLabels(valence);
  return {
    auc: figure(statistic, READOUT.auc, { better: 'greater', bounds: [0, 1], whyEmpty }),
    spearman: figure(statistic, READOUT.spearman, { better: 'greater', bounds: [-1, 1], whyEmpty }),
    bias,
    floors: { bagOfWords: words.auc, recalibrated: recalibrated(logProbs, width, labels, design) },
    aucOnTest: testAuc(
      Float64Array.from(split.test, (i) => odds[i]),
      labels,
      design,
    ),
    words: captured.words,
  };
}

/**
 * Logistic regression on the model's own next-token log-probabilities, the model untouched: fitted on training texts, penalty by validation,
 * AUC on test texts. What calibrating the output alone would give.
 */
function recalibrated(logProbs: Float32Array, width: number, labels: Int8Array, design: Design): Figure {
  const part = (positions: Int32Array) => {
    const judged = positions.filter((i) => labels[i] >= 0);
    return {
      x: select({ n: labels.length, d: width, data: logProbs }, judged).data,
      labels: Array.from(judged, (i) => labels[i]),
    };
  };
  const [train, validation] = [part(design.split.train), part(design.split.validation)];
  if (new Set(train.labels).size < 2) return empty('the training texts lack a virtue or a vice');
  if (validation.labels.length === 0) return empty('the validation texts are all neutral');
  const fit = chooseLogistic(train, validation, width);
  const test = select({ n: labels.length, d: width, data: logProbs }, design.split.test);
  return testAuc(fit.score(test.data), labels, design);
}

/** AUC on the test texts with its bootstrap interval and, for the null, all texts' judgments permuted. */
function testAuc(scores: Float64Array, labels: Int8Array, { split, draws, counts, texts }: Design): Figure {
  const measure = (all: Int8Array, weights?: Uint16Array) =>
    Float64Array.of(
      auc(
        scores,
        Int8Array.from(split.test, (i) => all[i]),
        weights,
      ),
    );
  const statistic = {
    observed: measure(labels),
    permuted: draws.permuted.map(({ signed }) => measure(polarityLabels(texts.valence(signed)))),
    resampled: Array.from({ length: counts.bootstraps }, (_, b) =>
      measure(labels, bootstrapCounts(split.test.length, new Random(counts.seed, 'test', b))),
    ),
  };
  return figure(statistic, 0, { better: 'greater', bounds: [0, 1], whyEmpty: 'the test texts lack a virtue or a vice' });
}

function withoutReadout(notCaptured: boolean, words: WordFigures): Readout {
  const none = empty(
    notCaptured ? 'the activations were captured without a readout' : 'no antonym pair is a single token each in this vocabulary',
  );
  return {
    auc: none,
    spearman: none,
    bias: none,
    floors: { bagOfWords: words.auc, recalibrated: none },
    aucOnTest: none,
    words: [],
  };
}
