import { mutualReachabilityTree, type SpanningTree } from './spanning-tree.js';

export interface HdbscanOptions {
  /** Fewest points of a cluster, at least 2. */
  minClusterSize: number;
  /** The core distance is that to the minSamples-th nearest point, the point itself the first (as in scikit-learn). */
  minSamples: number;
}

/** The label of a point in no cluster. */
export const NOISE = -1;

/**
 * HDBSCAN* (Campello, Moulavi and Sander 2013): Euclidean, clusters by excess of mass, never all points as one cluster.
 * The labels are those of sklearn.cluster.HDBSCAN, its numbering included, as long as no two edges of the spanning tree have
 * the same weight; such ties are common (a core distance shared by several edges), scikit-learn breaks them by an unstable
 * sort, and here the edge that Prim's algorithm found first comes first.
 * @param points [n, d]; O(n^2 d) time, O(n^2) memory up to 2,800 points and O(n) above
 * @returns the cluster of each point, 0, 1, ..., or NOISE
 */
export function hdbscan(points: Float32Array | Float64Array, n: number, d: number, options: HdbscanOptions): Int32Array {
  const { minClusterSize, minSamples } = options;
  if (points.length !== n * d) throw new RangeError(`a matrix of ${n} x ${d} given ${points.length} numbers`);
  if (minClusterSize < 2 || minSamples < 1 || minSamples > n)
    throw new RangeError(`clusters of ${minClusterSize}, ${minSamples} samples, asked of ${n} points`);
  if (n < 2) return new Int32Array(n).fill(NOISE);
  return new CondensedTree(new Hierarchy(mutualReachabilityTree(points, n, d, minSamples)), minClusterSize).labels();
}

/** The single-linkage tree: leaves 0 ... n - 1, and node n + i joins left[i] and right[i] at distance[i]. */
class Hierarchy {
  readonly leaves: number;
  readonly left: Int32Array;
  readonly right: Int32Array;
  readonly distance: Float64Array;
  private readonly sizes: Int32Array;

  constructor(tree: SpanningTree) {
    const merges = tree.weight.length;
    const n = merges + 1;
    this.leaves = n;
    this.left = new Int32Array(merges);
    this.right = new Int32Array(merges);
    this.distance = tree.weight;
    this.sizes = new Int32Array(n + merges).fill(1, 0, n);
    const parent = Int32Array.from({ length: n + merges }, (_, i) => i);
    const root = (node: number) => {
      let at = node;
      while (parent[at] !== at) {
        parent[at] = parent[parent[at]];
        at = parent[at];
      }
      return at;
    };
    for (let i = 0; i < merges; i++) {
      this.left[i] = root(tree.from[i]);
      this.right[i] = root(tree.to[i]);
      parent[this.left[i]] = parent[this.right[i]] = n + i;
      this.sizes[n + i] = this.sizes[this.left[i]] + this.sizes[this.right[i]];
    }
  }

  get root(): number {
    return 2 * this.leaves - 2;
  }

  size(node: number): number {
    return this.sizes[node];
  }

  /** Calls `visit` for every leaf below a node. */
  forEachLeaf(node: number, visit: (leaf: number) => void): void {
    const stack = [node];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (at < this.leaves) visit(at);
      else stack.push(this.right[at - this.leaves], this.left[at - this.leaves]);
    }
  }
}

interface Cluster {
  parent: number;
  children: number[];
  /** 1 / distance at which the cluster split off. */
  birth: number;
  /** Excess of mass: sum over its points of 1 / distance at which they leave, minus `birth`. */
  stability: number;
}

/** The hierarchy without the splits in which fewer than `minClusterSize` points leave. Cluster 0 is everything. */
class CondensedTree {
  private readonly clusters: Cluster[] = [{ parent: -1, children: [], birth: 0, stability: 0 }];
  /** The smallest cluster that each point was in. */
  private readonly clusterOf: Int32Array;

  constructor(hierarchy: Hierarchy, minClusterSize: number) {
    const { clusters } = this;
    const { leaves, left, right, distance } = hierarchy;
    this.clusterOf = new Int32Array(leaves);
    // Level by level from the root.
    const queue: [node: number, cluster: number][] = [[hierarchy.root, 0]];
    for (const [node, id] of queue) {
      const cluster = clusters[id];
      const split = node - leaves;
      const lambda = 1 / distance[split];
      const children = [left[split], right[split]];
      const large = children.filter((child) => hierarchy.size(child) >= minClusterSize);
      for (const child of children) {
        if (large.length === 2) {
          cluster.stability += (lambda - cluster.birth) * hierarchy.size(child);
          cluster.children.push(clusters.length);
          queue.push([child, clusters.length]);
          clusters.push({ parent: id, children: [], birth: lambda, stability: 0 });
        } else if (child === large[0]) {
          queue.push([child, id]);
        } else {
          hierarchy.forEachLeaf(child, (leaf) => {
            this.clusterOf[leaf] = id;
            cluster.stability += lambda - cluster.birth;
          });
        }
      }
    }
  }

  /** Labels of the clusters whose excess of mass is no less than that of the clusters inside them. */
  labels(): Int32Array {
    const { clusters } = this;
    const selected = new Uint8Array(clusters.length).fill(1, 1);
    // Children come after their parents.
    for (let id = clusters.length - 1; id > 0; id--) {
      const cluster = clusters[id];
      const inside = cluster.children.reduce((sum, child) => sum + clusters[child].stability, 0);
      if (inside > cluster.stability) {
        selected[id] = 0;
        cluster.stability = inside;
      } else this.deselectBelow(id, selected);
    }
    const label = new Int32Array(clusters.length).fill(NOISE);
    let next = 0;
    for (let id = 1; id < clusters.length; id++) label[id] = selected[id] ? next++ : label[clusters[id].parent];
    return this.clusterOf.map((id) => label[id]);
  }

  private deselectBelow(id: number, selected: Uint8Array): void {
    for (const child of this.clusters[id].children) {
      selected[child] = 0;
      this.deselectBelow(child, selected);
    }
  }
}
