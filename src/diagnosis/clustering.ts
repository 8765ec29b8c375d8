import type { MatMul } from '../graph/matmul.js';
import { FOUNDATIONS } from '../moral/foundation.js';
import { Random } from '../random.js';
import { hdbscan, NOISE } from '../statistics/hdbscan.js';
import { kMeans } from '../statistics/kmeans.js';
import { principalComponents } from '../statistics/pca.js';
import type { States } from './states.js';
import { type Clustering, clusterParameters, FEWEST_CLUSTERED } from './structural.js';

const VARIANCE = 0.95;
const RESTARTS = 4;
/** Number of human classes: foundations, polarities, combinations. */
const CLASSES = [FOUNDATIONS.length, 3, 3 * FOUNDATIONS.length];

export interface ClusteredStates extends Clustering {
  /** The states on their principal components, [n, components]. */
  projections: States;
  /** Share of the variance on the first component; null where nothing varies or nothing was clustered. */
  firstComponent: number | null;
}

/** PCA to 95% of the variance, then HDBSCAN, and k-means for each kind of human class (docs/paper.md section 3.3). Looks at no judgment. */
export async function clusterStates(states: States, seed: number, matmul: MatMul): Promise<ClusteredStates> {
  const { n } = states;
  if (n < FEWEST_CLUSTERED) {
    const unclustered = new Int32Array(n).fill(NOISE);
    return {
      projections: { n, d: 0, data: new Float32Array() },
      firstComponent: null,
      hdbscan: unclustered,
      kmeans: CLASSES.map(() => unclustered),
    };
  }
  const { projected, variances, total } = await projectStates(states, matmul);
  return {
    projections: projected,
    firstComponent: total > 0 ? variances[0] / total : null,
    hdbscan: clusterProjections(projected),
    kmeans: partitionProjections(projected, seed),
  };
}

/** The states on the principal components that hold 95% of their variance, and the variance along each of all. */
export async function projectStates({ n, d, data }: States, matmul: MatMul) {
  const { projections, count, variances, total } = await principalComponents(data, n, d, VARIANCE, matmul);
  return { projected: { n, d: count, data: projections } as States, variances, total };
}

/** Labels of k-means with as many clusters as there are foundations, polarities and combinations of both. */
export function partitionProjections({ n, d, data }: States, seed: number): Int32Array[] {
  return CLASSES.map((k) => kMeans(data, n, d, k, new Random(seed, 'k-means', k), { restarts: RESTARTS }).labels);
}

/** HDBSCAN's labels, with the parameters for so many texts. */
export function clusterProjections({ n, d, data }: States): Int32Array {
  return hdbscan(data, n, d, clusterParameters(n));
}
