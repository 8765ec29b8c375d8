/** @file The diagnosis's figures of a few judged texts: what a change of the states does to each of them. */

import type { LayerFigure } from '../activations/precision-error.js';
import type { MatMul } from '../graph/matmul.js';
import type { Corpus } from '../moral/corpus.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { adjustedMutualInformation, Partition } from '../statistics/partition.js';
import { auc } from '../statistics/ranks.js';
import { meanOfFinite } from '../statistics/resampling.js';
import { determination, RidgePath } from '../statistics/ridge.js';
import { partitionProjections, projectStates } from './clustering.js';
import { targets } from './design.js';
import { LAMBDAS } from './dimensional.js';
import { type Draws, drawAll } from './draws.js';
import { finite } from './figure.js';
import { DETECTION_MEAN, GRADIENT_MEAN } from './gradient.js';
import { JudgedTexts } from './judged-texts.js';
import { prototypeStatistics } from './prototype-analyses.js';
import { polarityLabels, READOUT, readoutStatistics } from './readout.js';
import { anisotropy, centre, type States, select } from './states.js';
import { humanClasses } from './structural.js';

const SEED = 0;
const SEEDS = 3;
const FOLDS = 5;
const K = POLES.length;
const WIDTH = K + 1;

export interface ProbeReadout {
  auc: number | null;
  spearman: number | null;
  /** Nats. */
  bias: number | null;
}

/**
 * Analyses 1 to 5 as the diagnosis has them (docs/paper.md section 3), of a corpus of a hundred texts or so, each of one foundation; without nulls and
 * intervals. Two differ: the linear map is cross-validated, for a fifth of so few texts says nothing of ten dimensions; and k-means alone clusters,
 * where HDBSCAN calls everything noise.
 */
export class ProbeFigures {
  private readonly texts: JudgedTexts;
  private readonly draws: Draws;
  /** Foundation, polarity, both. */
  private readonly classes: Partition[];
  /** [texts, 11] */
  private readonly targets: Float32Array;
  /** Which texts each fold holds out. */
  private readonly folds: Int32Array[];

  constructor(
    corpus: Corpus,
    private readonly matmul: MatMul,
  ) {
    this.texts = JudgedTexts.of(corpus);
    this.draws = drawAll(this.texts, { seed: SEED, permutations: 0, bootstraps: 0 }, 'probe');
    this.classes = humanClasses(this.texts, this.draws, SEED).observed;
    this.targets = targets(this.texts, this.draws.observed);
    const order = new Random(SEED, 'folds').permutation(this.texts.length);
    this.folds = Array.from({ length: FOLDS }, (_, fold) => order.filter((_, i) => i % FOLDS === fold));
  }

  /** @param states of the corpus's texts, in their order */
  async ofLayer(states: States): Promise<Record<LayerFigure, number | null>> {
    const { matmul, texts, draws } = this;
    const { cosines, baseline, correlations } = await prototypeStatistics(texts, centre(states), draws, matmul);
    const [foundation, polarity, both] = await this.clusterAgreement(states);
    const { r2, probeAuc } = await this.readLinearly(states);
    return {
      'categorical.mean': finite(cosines.observed[FOUNDATIONS.length]),
      'categorical.baseline': finite(baseline.observed[FOUNDATIONS.length]),
      'gradient.detection': finite(correlations.observed[DETECTION_MEAN]),
      'gradient.gradient': finite(correlations.observed[GRADIENT_MEAN]),
      'structural.kmeansAmi.foundation': finite(foundation),
      'structural.kmeansAmi.polarity': finite(polarity),
      'structural.kmeansAmi.both': finite(both),
      'dimensional.r2': finite(r2),
      'knows.auc': finite(probeAuc),
      'anisotropy.raw': anisotropy(states),
    };
  }

  /**
   * AMI of k-means with foundation, polarity and both; mean over several seeds, since where one of them comes to rest among so few texts says
   * more of the seed than of the states.
   */
  private async clusterAgreement(states: States): Promise<number[]> {
    const { projected } = await projectStates(states, this.matmul);
    const found = Array.from({ length: SEEDS }, (_, seed) =>
      partitionProjections(projected, seed).map((labels, kind) =>
        adjustedMutualInformation(new Partition(labels), this.classes[kind]),
      ),
    );
    return this.classes.map((_, kind) => meanOfFinite(found.map((amis) => amis[kind])));
  }

  /** @param odds log-odds of the corpus's texts, nats */
  ofReadout(odds: Float64Array): ProbeReadout {
    const found = readoutStatistics(odds, this.texts.valence());
    return { auc: finite(found[READOUT.auc]), spearman: finite(found[READOUT.spearman]), bias: finite(found[READOUT.bias]) };
  }

  /**
   * R2, mean over the ten dimensions, and AUC of the signed judgment, of predictions from the other folds' texts; of the best penalty (for R2, and for
   * the judgment's R2), the same for all folds. That choice flatters both precisions alike.
   */
  private async readLinearly({ n, d, data }: States): Promise<{ r2: number; probeAuc: number }> {
    const truth = { n, d: WIDTH, data: this.targets };
    const predicted = LAMBDAS.map(() => new Float32Array(n * WIDTH));
    for (const heldOut of this.folds) {
      const out = new Set(heldOut);
      const rest = Int32Array.from(Array(n).keys()).filter((i) => !out.has(i));
      const path = await RidgePath.fit(select({ n, d, data }, rest).data, rest.length, d, this.matmul);
      const projected = await path.project(select(truth, rest).data, WIDTH);
      const basis = await path.basis(select({ n, d, data }, heldOut).data);
      for (const [l, lambda] of LAMBDAS.entries()) {
        const found = await path.predict(basis, path.solve(lambda, projected).coefficients, projected);
        heldOut.forEach((text, i) => {
          predicted[l].set(found.subarray(i * WIDTH, (i + 1) * WIDTH), text * WIDTH);
        });
      }
    }
    const r2 = predicted.map((values) => determination(this.targets, values, WIDTH));
    const judged = predicted[indexOfMost(r2.map((values) => values[K]))];
    const scores = Float64Array.from({ length: n }, (_, i) => judged[i * WIDTH + K]);
    return {
      r2: Math.max(...r2.map((values) => meanOfFinite(values.subarray(0, K)))),
      probeAuc: auc(scores, polarityLabels(this.texts.valence())),
    };
  }
}

const indexOfMost = (values: readonly number[]) => values.reduce((most, value, i) => (value > values[most] ? i : most), 0);
