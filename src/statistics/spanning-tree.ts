import { argsort } from './ranks.js';

/** A minimum spanning tree: edge i joins from[i] and to[i]; n - 1 edges, shortest first. */
export interface SpanningTree {
  from: Int32Array;
  to: Int32Array;
  weight: Float64Array;
}

/** Side up to which all distances are kept (64 MB); above it they are computed where they are needed, in O(n) memory. */
const LARGEST_MATRIX = 2800;

/**
 * The minimum spanning tree of the points' mutual reachability graph (Campello, Moulavi and Sander 2013): the weight of an
 * edge is the largest of its Euclidean length and both ends' core distances, a core distance being that to the
 * `minSamples`-th nearest point, the point itself counted first. Prim's algorithm from point 0; of edges of equal weight the
 * one to the lowest index comes first. Quickest when the columns that vary most come first.
 * @param points [n, d]
 */
export function mutualReachabilityTree(
  points: Float32Array | Float64Array,
  n: number,
  d: number,
  minSamples: number,
  largestMatrix = LARGEST_MATRIX,
): SpanningTree {
  const x = Float64Array.from(points);
  const tree = n <= largestMatrix ? treeFromMatrix(x, n, d, minSamples) : treeFromPoints(x, n, d, minSamples);
  const order = argsort(tree.weight);
  return {
    from: Int32Array.from(order, (i) => tree.from[i]),
    to: Int32Array.from(order, (i) => tree.to[i]),
    weight: Float64Array.from(order, (i) => tree.weight[i]),
  };
}

function treeFromMatrix(x: Float64Array, n: number, d: number, minSamples: number): SpanningTree {
  const distances = new Float64Array(n * n);
  const four = new Float64Array(4);
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j += 4) {
      squaredDistances(x, d, i, j, Math.min(j + 1, n - 1), Math.min(j + 2, n - 1), Math.min(j + 3, n - 1), Infinity, four);
      for (let k = 0; k < 4 && j + k < n; k++) distances[i * n + j + k] = distances[(j + k) * n + i] = Math.sqrt(four[k]);
    }
  }
  const core = new Float64Array(n);
  const nearest = new Nearest(1, minSamples);
  for (let i = 0; i < n; i++) {
    nearest.clear();
    for (let at = i * n; at < (i + 1) * n; at++) if (distances[at] < nearest.farthest[0]) nearest.add(0, distances[at]);
    core[i] = nearest.farthest[0];
  }
  const growing = new GrowingTree(core);
  for (let current = 0; growing.missing > 0; current = growing.attachNearest()) {
    const { outside, reach, source } = growing.remove(current);
    const row = current * n;
    const own = core[current];
    for (let o = 0; o < growing.missing; o++) {
      const j = outside[o];
      const weight = Math.max(own, core[j], distances[row + j]);
      if (weight < reach[j]) {
        reach[j] = weight;
        source[j] = current;
      }
    }
  }
  return growing.tree;
}

function treeFromPoints(x: Float64Array, n: number, d: number, minSamples: number): SpanningTree {
  const core = coreDistances(x, n, d, minSamples);
  const growing = new GrowingTree(core);
  const candidates = new Int32Array(n + 3);
  const four = new Float64Array(4);
  for (let current = 0; growing.missing > 0; current = growing.attachNearest()) {
    const { outside, reach, source } = growing.remove(current);
    const own = core[current];
    let count = 0;
    // A distance cannot help where the core distances alone are no better than what is there.
    for (let o = 0; o < growing.missing; o++)
      if (reach[outside[o]] > own && reach[outside[o]] > core[outside[o]]) candidates[count++] = outside[o];
    if (count > 0) candidates.fill(candidates[count - 1], count, count + 3);
    for (let o = 0; o < count; o += 4) {
      const farthest = Math.max(
        reach[candidates[o]],
        reach[candidates[o + 1]],
        reach[candidates[o + 2]],
        reach[candidates[o + 3]],
      );
      const limit = farthest * farthest * SLACK;
      if (!squaredDistances(x, d, current, candidates[o], candidates[o + 1], candidates[o + 2], candidates[o + 3], limit, four))
        continue;
      for (let k = 0; k < 4; k++) {
        const j = candidates[o + k];
        const weight = Math.max(own, core[j], Math.sqrt(four[k]));
        if (weight < reach[j]) {
          reach[j] = weight;
          source[j] = current;
        }
      }
    }
  }
  return growing.tree;
}

/** Limits on squares are widened by this, so that rounding in a square never drops what its root would have kept. */
const SLACK = 1 + 1e-12;

/** Distance of each point to its `minSamples`-th nearest, itself the first; every pair is computed once. */
function coreDistances(x: Float64Array, n: number, d: number, minSamples: number): Float64Array {
  const nearest = new Nearest(n, minSamples);
  const { farthest } = nearest;
  const four = new Float64Array(4);
  for (let i = 0; i < n; i++) nearest.add(i, 0);
  for (let jFrom = 0; jFrom < n; jFrom += BLOCK) {
    const jTo = Math.min(jFrom + BLOCK, n);
    for (let i = 0; i < jTo; i++) {
      for (let j = Math.max(jFrom, i + 1); j < jTo; j += 4) {
        const [j1, j2, j3] = [Math.min(j + 1, n - 1), Math.min(j + 2, n - 1), Math.min(j + 3, n - 1)];
        const limit = Math.max(farthest[i], farthest[j], farthest[j1], farthest[j2], farthest[j3]);
        if (!squaredDistances(x, d, i, j, j1, j2, j3, limit, four)) continue;
        for (let k = 0; k < 4 && j + k < jTo; k++) {
          if (four[k] < farthest[i]) nearest.add(i, four[k]);
          if (four[k] < farthest[j + k]) nearest.add(j + k, four[k]);
        }
      }
    }
  }
  return farthest.map(Math.sqrt);
}

/** Points whose coordinates stay in the cache while all others pass by. */
const BLOCK = 512;

/** The k smallest numbers that were offered to each of n lists. */
class Nearest {
  /** The k-th smallest of each list; infinite while there are fewer. */
  readonly farthest: Float64Array;
  private readonly sorted: Float64Array;

  constructor(
    n: number,
    private readonly k: number,
  ) {
    this.farthest = new Float64Array(n);
    this.sorted = new Float64Array(n * k);
    this.clear();
  }

  clear(): void {
    this.farthest.fill(Infinity);
    this.sorted.fill(Infinity);
  }

  add(list: number, value: number): void {
    const { sorted, k } = this;
    const from = list * k;
    let at = from + k - 1;
    for (; at > from && sorted[at - 1] > value; at--) sorted[at] = sorted[at - 1];
    sorted[at] = value;
    this.farthest[list] = sorted[from + k - 1];
  }
}

/** Prim's tree while it grows: what is outside of it, how far that is, and from where. */
class GrowingTree {
  readonly tree: SpanningTree;
  /** Points outside, by index. */
  private readonly outside: Int32Array;
  private readonly reach: Float64Array;
  private readonly source: Int32Array;
  missing: number;

  constructor(core: Float64Array) {
    const n = core.length;
    this.tree = { from: new Int32Array(n - 1), to: new Int32Array(n - 1), weight: new Float64Array(n - 1) };
    this.outside = Int32Array.from({ length: n }, (_, i) => i);
    this.reach = new Float64Array(n).fill(Infinity);
    this.source = new Int32Array(n);
    this.missing = n - 1;
  }

  /** Takes a point from those outside; `missing` of them are left at the front of `outside`. */
  remove(point: number): { outside: Int32Array; reach: Float64Array; source: Int32Array } {
    const { outside, reach, source, missing } = this;
    const at = outside.indexOf(point);
    outside.copyWithin(at, at + 1, missing + 1);
    return { outside, reach, source };
  }

  /** Adds the edge to the nearest point outside and returns that point. */
  attachNearest(): number {
    const { outside, reach, source, tree } = this;
    let nearest = outside[0];
    for (let o = 1; o < this.missing; o++) if (reach[outside[o]] < reach[nearest]) nearest = outside[o];
    const edge = tree.weight.length - this.missing;
    tree.from[edge] = source[nearest];
    tree.to[edge] = nearest;
    tree.weight[edge] = reach[nearest];
    this.missing--;
    return nearest;
  }
}

/**
 * Squared distances of point i to four others, into `out`. Gives up and returns false once all four are beyond `limit`.
 * Each sum runs over the columns in order, so that a distance is the same number wherever it is computed.
 */
function squaredDistances(
  x: Float64Array,
  d: number,
  i: number,
  j0: number,
  j1: number,
  j2: number,
  j3: number,
  limit: number,
  out: Float64Array,
): boolean {
  const a = i * d;
  const b0 = j0 * d;
  const b1 = j1 * d;
  const b2 = j2 * d;
  const b3 = j3 * d;
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let c = 0; c < d; ) {
    for (const end = Math.min(c + 16, d); c < end; c++) {
      const own = x[a + c];
      const d0 = own - x[b0 + c];
      const d1 = own - x[b1 + c];
      const d2 = own - x[b2 + c];
      const d3 = own - x[b3 + c];
      s0 += d0 * d0;
      s1 += d1 * d1;
      s2 += d2 * d2;
      s3 += d3 * d3;
    }
    if (s0 > limit && s1 > limit && s2 > limit && s3 > limit) return false;
  }
  out[0] = s0;
  out[1] = s1;
  out[2] = s2;
  out[3] = s3;
  return true;
}
