import type { Random } from '../random.js';

export interface KMeans {
  /** Cluster of each point, 0 ... k - 1. */
  labels: Int32Array;
  /** Sum of the squared distances of the points to their cluster's mean. */
  inertia: number;
  /** [k, d] */
  centres: Float64Array;
}

/**
 * k-means: the best of several runs of Lloyd's iteration, each from k-means++ centres (Arthur and Vassilvitskii 2007). Distances that
 * the triangle inequality rules out are not computed (Elkan 2003), which changes nothing but the time.
 * @param points [n, d]
 * @param options.restarts runs, default 5; options.iterations of one run at most, default 100
 */
export function kMeans(
  points: Float32Array | Float64Array,
  n: number,
  d: number,
  k: number,
  random: Random,
  options: { restarts?: number; iterations?: number } = {},
): KMeans {
  if (points.length !== n * d) throw new RangeError(`a matrix of ${n} x ${d} given ${points.length} numbers`);
  if (k < 1 || k > n) throw new RangeError(`${k} clusters asked of ${n} points`);
  const x = Float64Array.from(points);
  let best: KMeans | undefined;
  for (let run = 0; run < (options.restarts ?? 5); run++) {
    const found = lloyd(x, n, d, spreadCentres(x, n, d, k, random), options.iterations ?? 100);
    if (!best || found.inertia < best.inertia) best = found;
  }
  return best!;
}

/** k points drawn one after another, each with a chance in proportion to its squared distance from those drawn before. */
function spreadCentres(x: Float64Array, n: number, d: number, k: number, random: Random): Float64Array {
  const centres = new Float64Array(k * d);
  const nearest = new Float64Array(n).fill(Infinity);
  let chosen = random.below(n);
  for (let c = 0; c < k; c++) {
    centres.set(x.subarray(chosen * d, (chosen + 1) * d), c * d);
    let total = 0;
    for (let i = 0; i < n; i++) {
      const squared = squaredDistance(x, i * d, centres, c * d, d);
      if (squared < nearest[i]) nearest[i] = squared;
      total += nearest[i];
    }
    if (total === 0) {
      chosen = random.below(n);
      continue;
    }
    let left = random.uniform() * total;
    // The last point with a chance takes what rounding leaves over.
    for (let i = 0; i < n; i++) {
      if (nearest[i] === 0) continue;
      chosen = i;
      left -= nearest[i];
      if (left < 0) break;
    }
  }
  return centres;
}

function lloyd(x: Float64Array, n: number, d: number, centres: Float64Array, iterations: number): KMeans {
  const k = centres.length / d;
  const labels = new Int32Array(n);
  /** At least the distance of a point to its own centre, and at most that to each centre. */
  const upper = new Float64Array(n).fill(Infinity);
  const lower = new Float64Array(n * k);
  const half = new Float64Array(k * k);
  const moved = new Float64Array(k);
  for (let iteration = 0; iteration < iterations; iteration++) {
    for (let a = 0; a < k; a++)
      for (let b = 0; b < a; b++)
        half[a * k + b] = half[b * k + a] = Math.sqrt(squaredDistance(centres, a * d, centres, b * d, d)) / 2;
    let changes = 0;
    for (let i = 0; i < n; i++) {
      let own = labels[i];
      let known = false;
      for (let c = 0; c < k; c++) {
        if (c === own || upper[i] <= lower[i * k + c] || upper[i] <= half[own * k + c]) continue;
        if (!known) {
          upper[i] = lower[i * k + own] = Math.sqrt(squaredDistance(x, i * d, centres, own * d, d));
          known = true;
          if (upper[i] <= lower[i * k + c] || upper[i] <= half[own * k + c]) continue;
        }
        const distance = Math.sqrt(squaredDistance(x, i * d, centres, c * d, d));
        lower[i * k + c] = distance;
        if (distance < upper[i]) {
          upper[i] = distance;
          own = c;
        }
      }
      if (own !== labels[i]) {
        labels[i] = own;
        changes++;
      }
    }
    if (changes === 0 && iteration > 0) break;
    moveCentres(x, n, d, labels, centres, moved);
    for (let i = 0; i < n; i++) {
      upper[i] += moved[labels[i]];
      for (let c = 0; c < k; c++) lower[i * k + c] = Math.max(0, lower[i * k + c] - moved[c]);
    }
  }
  let inertia = 0;
  for (let i = 0; i < n; i++) inertia += squaredDistance(x, i * d, centres, labels[i] * d, d);
  return { labels, inertia, centres };
}

/** Centres to the means of their points; one that has lost all its points stays. `moved` tells how far each went. */
function moveCentres(
  x: Float64Array,
  n: number,
  d: number,
  labels: Int32Array,
  centres: Float64Array,
  moved: Float64Array,
): void {
  const k = moved.length;
  const sums = new Float64Array(k * d);
  const sizes = new Int32Array(k);
  for (let i = 0; i < n; i++) {
    const to = labels[i] * d;
    sizes[labels[i]]++;
    for (let j = 0, from = i * d; j < d; j++) sums[to + j] += x[from + j];
  }
  for (let c = 0; c < k; c++) {
    if (sizes[c] === 0) {
      moved[c] = 0;
      continue;
    }
    for (let j = 0; j < d; j++) sums[c * d + j] /= sizes[c];
    moved[c] = Math.sqrt(squaredDistance(sums, c * d, centres, c * d, d));
    centres.set(sums.subarray(c * d, (c + 1) * d), c * d);
  }
}

function squaredDistance(a: Float64Array, i: number, b: Float64Array, j: number, d: number): number {
  let even = 0;
  let odd = 0;
  let c = 0;
  for (; c + 3 < d; c += 4) {
    const p = a[i + c] - b[j + c];
    const q = a[i + c + 1] - b[j + c + 1];
    const r = a[i + c + 2] - b[j + c + 2];
    const s = a[i + c + 3] - b[j + c + 3];
    even += p * p + r * r;
    odd += q * q + s * s;
  }
  for (; c < d; c++) even += (a[i + c] - b[j + c]) ** 2;
  return even + odd;
}
