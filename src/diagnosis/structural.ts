import { Random } from '../random.js';
import { adjustedMutualInformation, adjustedRandIndex, expectedMutualInformation, Partition } from '../statistics/partition.js';
import type { Draws } from './draws.js';
import { type DrawnStatistic, empty, figure } from './figure.js';
import type { JudgedTexts, Signed } from './judged-texts.js';
import type { Structural } from './schema.js';

const LABELS = ['foundation', 'polarity', 'both'] as const;
const MEASURES = ['ari', 'ariWithoutNoise', 'ami', 'kmeansAmi'] as const;
/** Where ARI against polarity, noise as its own class, stands among the statistics. */
export const POLARITY_ARI = LABELS.indexOf('polarity');

/** The paper's parameters for its 16,315 texts (docs/paper.md section 3.3). */
const PAPER = { texts: 16_315, minClusterSize: 100, minSamples: 20 };

/** HDBSCAN's parameters for n texts: the paper's from 16,315 on; below, in proportion to n, but at least 10 and 5. */
export function clusterParameters(n: number): { minClusterSize: number; minSamples: number } {
  const share = Math.min(1, n / PAPER.texts);
  return {
    minClusterSize: Math.max(10, Math.round(PAPER.minClusterSize * share)),
    minSamples: Math.max(5, Math.round(PAPER.minSamples * share)),
  };
}

/** The human classes of texts of one foundation: 5 foundations, 3 polarities, 15 combinations; as judged and as permuted. */
export interface HumanClasses {
  observed: Partition[];
  permuted: Partition[][];
}

/**
 * Under the null, foundations are permuted among all texts; polarity, alone and in combination, among the texts of a
 * foundation, so that what the topic alone explains of the combinations stays in their null.
 */
export function humanClasses(texts: JudgedTexts, draws: Draws, seed: number): HumanClasses {
  const foundation = Int32Array.from({ length: texts.length }, (_, i) => texts.firstFoundation(i));
  const classes = (topics: Int32Array, signed: Signed) => {
    const polarity = Int32Array.from(texts.valence(signed), Math.sign);
    return [topics, polarity, polarity.map((p, i) => 3 * foundation[i] + p + 1)].map((labels) => new Partition(labels));
  };
  return {
    observed: classes(foundation, texts.signed),
    permuted: draws.permuted.map(({ signed }, b) =>
      classes(new Random(seed, 'foundation', b).shuffle(foundation.slice()), signed),
    ),
  };
}

/** Fewer texts than the 15 combinations are not clustered. */
export const FEWEST_CLUSTERED = 15;

/** What was clustered without looking at any judgment: HDBSCAN's labels (-1: noise) and k-means labels for 5, 3 and 15 classes. */
export interface Clustering {
  hdbscan: Int32Array;
  kmeans: Int32Array[];
}

/** Every measure against every kind of human class, measure by measure in the order of LABELS, for the texts at `positions`. */
export function agreement({ hdbscan, kmeans }: Clustering, classes: HumanClasses, positions?: Int32Array): DrawnStatistic {
  const among = (labels: Int32Array) => (positions ? Int32Array.from(positions, (p) => labels[p]) : labels);
  const labels = among(hdbscan);
  const clustered = Int32Array.from(labels.keys()).filter((i) => labels[i] !== -1);
  const noiseAsClass = new Partition(labels);
  const withoutNoise = new Partition(clustered.map((i) => labels[i]));
  const byMeans = kmeans.map((k) => new Partition(among(k)));
  // Expected mutual information depends on class sizes alone, which permutations of all the texts leave as they are.
  const expected = (clusters: Partition, l: number) =>
    positions ? undefined : expectedMutualInformation(clusters.sizes, classes.observed[l].sizes);
  const expectedOf = LABELS.map((_, l) => [expected(noiseAsClass, l), expected(byMeans[l], l)]);
  const measure = (human: Partition[]) => {
    const values = new Float64Array(MEASURES.length * LABELS.length);
    human.forEach((all, l) => {
      const own = positions ? new Partition(among(all.classOf)) : all;
      const dropped = new Partition(clustered.map((i) => own.classOf[i]));
      if (own.classes < 2) {
        // sklearn's convention would call two partitions of one class each a perfect agreement.
        for (let measure = 0; measure < MEASURES.length; measure++) values[measure * LABELS.length + l] = Number.NaN;
        return;
      }
      values[l] = adjustedRandIndex(noiseAsClass, own);
      values[3 + l] = withoutNoise.classes > 0 ? adjustedRandIndex(withoutNoise, dropped) : Number.NaN;
      values[6 + l] = adjustedMutualInformation(noiseAsClass, own, expectedOf[l][0]);
      values[9 + l] = adjustedMutualInformation(byMeans[l], own, expectedOf[l][1]);
    });
    return values;
  };
  return { observed: measure(classes.observed), permuted: classes.permuted.map(measure), resampled: [] };
}

/** Puts analysis 3 together. */
export function structural(
  statistic: DrawnStatistic,
  { hdbscan }: Clustering,
  components: number,
  parameters: { minClusterSize: number; minSamples: number },
): Structural {
  const clusters = new Set(hdbscan).size - (hdbscan.includes(-1) ? 1 : 0);
  const noise = hdbscan.filter((label) => label === -1).length / hdbscan.length;
  const n = hdbscan.length;
  const tooFew = n < FEWEST_CLUSTERED ? `only ${n} texts carry one foundation alone` : undefined;
  const allNoise = clusters === 0 ? { why: 'HDBSCAN found no cluster: every text is noise' } : {};
  const byLabels = (measure: (typeof MEASURES)[number]) =>
    Object.fromEntries(
      LABELS.map((label, l) => [
        label,
        tooFew !== undefined
          ? empty(tooFew)
          : {
              ...figure(statistic, MEASURES.indexOf(measure) * LABELS.length + l, {
                better: 'greater',
                bounds: [-1, 1],
                whyEmpty: `every text is noise, or all are of one ${label === 'both' ? 'class' : label}`,
              }),
              ...(measure !== 'kmeansAmi' && allNoise),
            },
      ]),
    ) as Structural['ari'];
  return {
    ari: byLabels('ari'),
    ariWithoutNoise: byLabels('ariWithoutNoise'),
    ami: byLabels('ami'),
    kmeansAmi: byLabels('kmeansAmi'),
    noise: tooFew === undefined ? { value: noise } : empty(tooFew),
    clusters,
    components,
    ...parameters,
  };
}
