/** @file Figures at a best layer, from the texts it was not chosen on. */
import type { MatMul } from '../graph/matmul.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { adjustedRandIndex, Partition } from '../statistics/partition.js';
import { quantiles } from '../statistics/resampling.js';
import { clusterProjections, clusterStates } from './clustering.js';
import type { Design } from './design.js';
import { figure } from './figure.js';
import { DETECTION_MEAN, poleScores } from './gradient.js';
import { prototypeStatistics } from './prototype-analyses.js';
import { visitPrototypes } from './prototypes.js';
import type { Diagnosis, Figure, Pooling } from './schema.js';
import { centre, type States, select } from './states.js';
import { agreement, POLARITY_ARI } from './structural.js';

export interface BestTask {
  kind: 'categorical' | 'gradient' | 'structural' | 'typical';
  pooling: Pooling;
  layer: number;
}

export interface BestReport {
  figure?: Figure;
  typical?: Pick<Diagnosis['typical'], 'most' | 'least'>;
}

const SUBSAMPLES = 20;
const SUBSAMPLE_SHARE = 0.8;

/**
 * One figure at the best layer of one analysis on the second half of the texts, or the typical actions there.
 * @param actions the corpus's texts by id
 */
export async function reportBest(
  { kind }: BestTask,
  states: States,
  design: Design,
  actions: string[],
  matmul: MatMul,
): Promise<BestReport> {
  if (kind === 'structural') return { figure: await structuralFigure(states, design, matmul) };
  if (kind === 'typical') return { typical: await typicalActions(states, design, actions, matmul) };
  const { texts, positions, draws } = design.halves[1];
  const { cosines, correlations } = await prototypeStatistics(texts, centre(select(states, positions)), draws, matmul);
  return {
    figure:
      kind === 'categorical'
        ? figure(cosines, FOUNDATIONS.length, {
            better: 'less',
            bounds: [-1, 1],
            whyEmpty: 'no foundation has prototypes of both poles',
          })
        : figure(correlations, DETECTION_MEAN, { better: 'greater', bounds: [-1, 1], whyEmpty: 'no pole has enough texts' }),
  };
}

/**
 * ARI against polarity on the second half's texts of one foundation. The clusters are those of all texts (no judgment made them); the interval
 * is the middle 95% over clusterings of random 80% of the texts, since bootstrap copies would make clusters of their own.
 */
async function structuralFigure(states: States, design: Design, matmul: MatMul): Promise<Figure> {
  const { single, counts } = design;
  const inSecondHalf = new Set(design.halves[1].positions);
  const reported = (among: Int32Array) => among.filter((i) => inSecondHalf.has(single.positions[i]));
  const everyText = Int32Array.from(single.positions.keys());
  const clustered = await clusterStates(select(states, single.positions), counts.seed, matmul);
  const found = figure(agreement(clustered, single.classes, reported(everyText)), POLARITY_ARI, {
    better: 'greater',
    bounds: [-1, 1],
    whyEmpty: `the second half has too few texts of one foundation, or they are all of one polarity (${everyText.length} in all)`,
  });
  if (found.value === null) return found;
  if (clustered.hdbscan.every((label) => label === -1)) return { ...found, why: 'HDBSCAN found no cluster: every text is noise' };
  const polarity = single.classes.observed[1].classOf;
  const indices = Array.from({ length: SUBSAMPLES }, (_, s) => {
    const kept = new Random(counts.seed, 'subsample', s)
      .permutation(everyText.length)
      .slice(0, Math.round(SUBSAMPLE_SHARE * everyText.length));
    kept.sort();
    const labels = clusterProjections(select(clustered.projections, kept));
    const own = Int32Array.from(kept.keys()).filter((i) => inSecondHalf.has(single.positions[kept[i]]));
    return adjustedRandIndex(new Partition(own.map((i) => labels[i])), new Partition(own.map((i) => polarity[kept[i]])));
  });
  const [low, high] = quantiles(indices, [0.025, 0.975]);
  return { ...found, ci95: [low, high] };
}

/** The texts of each pole that are most and least like its prototype (themselves left out), two of each a pole. */
async function typicalActions(
  states: States,
  design: Design,
  actions: string[],
  matmul: MatMul,
): Promise<NonNullable<BestReport['typical']>> {
  const most: Diagnosis['typical']['most'] = [];
  const least: Diagnosis['typical']['least'] = [];
  await visitPrototypes(design.texts, centre(states), [design.draws.observed], matmul, { oneFoundation: false }, (drawn) => {
    POLES.forEach((pole, k) => {
      const { text, m, cosine } = poleScores(drawn, k);
      const own = Array.from(text.keys())
        .filter((i) => m[i] > 0)
        .sort((a, b) => cosine[b] - cosine[a])
        .map((i) => ({ text: actions[design.texts.ids[text[i]]], pole, human: m[i], model: cosine[i] }));
      most.push(...own.slice(0, 2));
      least.push(...own.slice(2).slice(-2).reverse());
    });
  });
  return { most, least };
}
