import type { ReadoutLogProbs } from '../activations/directory.js';
import { Random } from '../random.js';
import { fitLogistic } from '../statistics/logistic.js';
import { auc } from '../statistics/ranks.js';
import { bootstrapCounts } from '../statistics/resampling.js';
import type { Design } from './design.js';
import type { WordFigures } from './dimensional.js';
import { column, empty, figure } from './figure.js';
import { logOdds, polarityLabels, READOUT, readoutStatistics } from './readout.js';
import type { Figure, Readout } from './schema.js';

/** Analysis 5 (PAPER.md section 3.5): what the model would say, its floors, and bias beside discrimination, never mixed. */
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
  const { null: _, p: __, detectable: ___, ...bias } = figure(statistic, READOUT.bias, { better: 'greater', bounds: [-Infinity, Infinity], whyEmpty });
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
