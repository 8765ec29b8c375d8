/** @file Analyses 1 and 2 share their draws: one pass over prototypes serves both. */
import type { MatMul } from '../graph/matmul.js';
import { baselines, categorical, cosineMatrix, oppositions, reliabilities } from './categorical.js';
import type { Draw, Draws } from './draws.js';
import type { DrawnStatistic } from './figure.js';
import { gradient, poleCorrelations } from './gradient.js';
import type { JudgedTexts } from './judged-texts.js';
import { visitPrototypes } from './prototypes.js';
import type { Categorical, Gradient } from './schema.js';
import type { States } from './states.js';

export interface PrototypeStatistics {
  /** Cosine of opposed poles by foundation, then their mean. */
  cosines: DrawnStatistic;
  /** The same against other foundations; not permuted. */
  baseline: DrawnStatistic;
  /** Detection by pole, gradient by pole, their means. */
  correlations: DrawnStatistic;
  matrix: (number | null)[][];
}

/** Every draw of the statistics of analyses 1 and 2 for these texts. */
export async function prototypeStatistics(
  texts: JudgedTexts,
  centred: States,
  draws: Draws,
  matmul: MatMul,
): Promise<PrototypeStatistics> {
  const found: PrototypeStatistics = { cosines: none(), baseline: none(), correlations: none(), matrix: [] };
  await visitPrototypes(texts, centred, [draws.observed], matmul, { oneFoundation: true }, (drawn) => {
    found.cosines.observed = oppositions(drawn);
    found.baseline.observed = baselines(drawn);
    found.correlations.observed = poleCorrelations(drawn);
    found.matrix = cosineMatrix(drawn);
  });
  await visitPrototypes(texts, centred, draws.permuted, matmul, { oneFoundation: false }, (drawn) => {
    found.cosines.permuted.push(oppositions(drawn));
    found.correlations.permuted.push(poleCorrelations(drawn));
  });
  await visitPrototypes(texts, centred, draws.resampled, matmul, { oneFoundation: true }, (drawn) => {
    found.cosines.resampled.push(oppositions(drawn));
    found.baseline.resampled.push(baselines(drawn));
    found.correlations.resampled.push(poleCorrelations(drawn));
  });
  return found;
}

/** Analyses 1 and 2 of these texts, and the draws behind them. */
export async function prototypeAnalyses(
  texts: JudgedTexts,
  centred: States,
  draws: Draws,
  halves: Draw[],
  matmul: MatMul,
): Promise<{ categorical: Categorical; gradient: Gradient; statistics: PrototypeStatistics }> {
  const statistics = await prototypeStatistics(texts, centred, draws, matmul);
  const prototypes: Float32Array[] = [];
  await visitPrototypes(texts, centred, halves, matmul, { oneFoundation: false }, (drawn) => {
    prototypes.push(drawn.prototypes.slice());
  });
  const { cosines, baseline, correlations, matrix } = statistics;
  return {
    categorical: categorical(cosines, baseline, matrix, reliabilities(prototypes)),
    gradient: gradient(correlations),
    statistics,
  };
}

const none = (): DrawnStatistic => ({ observed: new Float64Array(0), permuted: [], resampled: [] });
