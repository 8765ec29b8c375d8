import type { MatMul } from '../graph/matmul.js';
import { clusterStates } from './clustering.js';
import { type Design, withoutBootstrap } from './design.js';
import { dimensional, type WordFigures } from './dimensional.js';
import { column, type DrawnStatistic } from './figure.js';
import { DETECTION_MEAN } from './gradient.js';
import type { Column } from './maximum.js';
import { prototypeAnalyses, prototypeStatistics } from './prototype-analyses.js';
import type { Figure, LayerDiagnosis } from './schema.js';
import { anisotropy, centre, inverseLength, lengthColumns, regressOut, type States, select } from './states.js';
import { agreement, clusterParameters, POLARITY_ARI, structural } from './structural.js';

/** The statistics whose maximum over layers is taken, by analysis. */
export type MaximumColumns = Record<'categorical' | 'gradient' | 'structural' | 'dimensional', Column[]>;

export interface LayerResult {
  diagnosis: LayerDiagnosis;
  /** What layers are chosen by, from texts that the chosen layer is not reported on. NaN: not computable. */
  chooseBy: Record<'categorical' | 'gradient' | 'structural' | 'dimensional' | 'knows', number>;
  maxima: MaximumColumns;
  /** Spearman of the linear probe with the signed judgment, test texts. */
  probe: { spearman: Figure };
}

export interface LayerInput {
  layer: number;
  /** Raw pooled states of the design's texts, in their order. */
  states: States;
  /** Tokens of each text. */
  tokens: Int32Array;
  /** [texts, 2]: norm of the first token, median norm of the others. */
  norms: Float32Array;
}

/** All that is said of one layer in one pooling (docs/paper.md section 3): the four analyses, with and without length, and the confounds. */
export async function diagnoseLayer(input: LayerInput, design: Design, words: WordFigures, matmul: MatMul): Promise<LayerResult> {
  const { states, tokens } = input;
  const { residual } = regressOut(states, lengthColumns(tokens));
  const whole = await analyse(states, design, words, matmul);
  const regressed = await analyse(residual, withoutBootstrap(design), words, matmul);
  const [firstHalf] = design.halves;
  const chosenOn = await prototypeStatistics(
    firstHalf.texts,
    centre(select(states, firstHalf.positions)),
    firstHalf.draws,
    matmul,
  );
  return {
    diagnosis: {
      layer: input.layer,
      sink: {
        ratio: sinkRatio(input.norms),
        lengthShare: regressOut(states, [inverseLength(tokens)]).explained,
        firstComponent: whole.firstComponent,
      },
      anisotropy: { raw: anisotropy(states), centred: anisotropy(centre(states)) },
      ...whole.analyses,
      knows: whole.knows,
      lengthRegressed: regressed.analyses,
    },
    chooseBy: {
      categorical: chosenOn.cosines.observed.at(-1)!,
      gradient: chosenOn.correlations.observed[DETECTION_MEAN],
      structural: whole.polarityOnFirstHalf,
      ...whole.onValidation,
    },
    maxima: whole.maxima,
    probe: { spearman: whole.spearman },
  };
}

async function analyse(states: States, design: Design, words: WordFigures, matmul: MatMul) {
  const centred = centre(states);
  const { categorical, gradient, statistics } = await prototypeAnalyses(
    design.texts,
    centred,
    design.draws,
    design.halvings,
    matmul,
  );
  const { single } = design;
  const clustered = await clusterStates(select(states, single.positions), design.counts.seed, matmul);
  const agreed = agreement(clustered, single.classes);
  const inFirstHalf = new Set(design.halves[0].positions);
  const firstHalf = Int32Array.from(single.positions.keys()).filter((i) => inFirstHalf.has(single.positions[i]));
  const read = await dimensional(states, design, words, matmul);
  return {
    analyses: {
      categorical,
      gradient,
      structural: structural(agreed, clustered, clustered.projections.d, clusterParameters(single.positions.length)),
      dimensional: read.dimensional,
    },
    firstComponent: clustered.firstComponent,
    knows: read.knows,
    spearman: read.spearman,
    onValidation: read.onValidation,
    polarityOnFirstHalf: agreement(clustered, { observed: single.classes.observed, permuted: [] }, firstHalf).observed[
      POLARITY_ARI
    ],
    maxima: {
      categorical: columns(statistics.cosines),
      gradient: columns(statistics.correlations),
      structural: columns(agreed).slice(POLARITY_ARI, POLARITY_ARI + 1),
      dimensional: columns(read.statistic),
    },
  };
}

function columns({ observed, permuted }: DrawnStatistic): Column[] {
  return Array.from(observed, (value, i) => ({ observed: value, permuted: column(permuted, i) }));
}

/** Mean norm of the first token over the mean of the texts' median norms of their other tokens. */
function sinkRatio(norms: Float32Array): number | null {
  let [first, others] = [0, 0];
  for (let i = 0; i < norms.length; i += 2)
    if (Number.isFinite(norms[i + 1])) {
      first += norms[i];
      others += norms[i + 1];
    }
  return others > 0 ? first / others : null;
}
