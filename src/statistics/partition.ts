/** A partition of n items into k classes, renumbered 0..k-1 in ascending order of the labels. */
export class Partition {
  /** Class of each item. */
  readonly classOf: Int32Array;
  /** Items in each class. */
  readonly sizes: Int32Array;

  /** @param labels any whole numbers; -1 (noise) is a class like any other */
  constructor(labels: ArrayLike<number>) {
    const distinct = [...new Set(Array.from(labels))].sort((a, b) => a - b);
    const index = new Map(distinct.map((label, i) => [label, i]));
    this.classOf = Int32Array.from(labels, (label) => index.get(label)!);
    this.sizes = new Int32Array(distinct.length);
    for (const c of this.classOf) this.sizes[c]++;
  }

  get length(): number {
    return this.classOf.length;
  }

  get classes(): number {
    return this.sizes.length;
  }
}

/** Items in class i of `a` and class j of `b`, [a.classes, b.classes]. */
export function contingency(a: Partition, b: Partition): Int32Array {
  const width = b.classes;
  const table = new Int32Array(a.classes * width);
  for (let i = 0; i < a.length; i++) table[a.classOf[i] * width + b.classOf[i]]++;
  return table;
}

/**
 * Adjusted Rand index (Hubert and Arabie 1985), as sklearn.metrics.adjusted_rand_score: 1 for equal partitions, 0 on average
 * for independent ones.
 */
export function adjustedRandIndex(a: Partition, b: Partition): number {
  const pairs = (counts: Int32Array) => counts.reduce((sum, c) => sum + (c * (c - 1)) / 2, 0);
  const both = pairs(contingency(a, b));
  const inA = pairs(a.sizes);
  const inB = pairs(b.sizes);
  if (both === inA && both === inB) return 1;
  const expected = (inA * inB) / ((a.length * (a.length - 1)) / 2);
  return (both - expected) / ((inA + inB) / 2 - expected);
}

/** Shannon entropy of a partition, nats. */
export function entropy(partition: Partition): number {
  let sum = 0;
  for (const size of partition.sizes) sum -= (size / partition.length) * Math.log(size / partition.length);
  return sum;
}

/** Mutual information of two partitions, nats. */
export function mutualInformation(a: Partition, b: Partition): number {
  const table = contingency(a, b);
  const n = a.length;
  let sum = 0;
  for (let i = 0, at = 0; i < a.classes; i++)
    for (let j = 0; j < b.classes; j++, at++)
      if (table[at] > 0) sum += (table[at] / n) * (Math.log(table[at] / a.sizes[i]) - Math.log(b.sizes[j] / n));
  return sum;
}

/**
 * Mutual information to be expected of two independent partitions with these class sizes, nats: exact, over the
 * hypergeometric distribution of every cell (Vinh, Epps and Bailey 2010). It depends on the sizes alone.
 */
export function expectedMutualInformation(a: Int32Array, b: Int32Array): number {
  const n = a.reduce((sum, size) => sum + size, 0);
  const logFactorial = new Float64Array(n + 1);
  for (let i = 2; i <= n; i++) logFactorial[i] = logFactorial[i - 1] + Math.log(i);
  const logChoose = (m: number, k: number) => logFactorial[m] - logFactorial[k] - logFactorial[m - k];
  let sum = 0;
  for (const p of a) {
    for (const q of b) {
      const least = Math.max(1, p + q - n);
      const most = Math.min(p, q);
      const mode = Math.min(most, Math.max(least, Math.floor(((p + 1) * (q + 1)) / (n + 2))));
      const atMode = Math.exp(logChoose(q, mode) + logChoose(n - q, p - mode) - logChoose(n, p));
      const term = (cell: number) => (cell / n) * Math.log((n * cell) / (p * q));
      // Outward from the mode, where chances cannot underflow, until they no longer count.
      for (let cell = mode, chance = atMode; cell <= most && chance > NEGLIGIBLE; cell++) {
        sum += chance * term(cell);
        chance *= ((p - cell) * (q - cell)) / ((cell + 1) * (n - p - q + cell + 1));
      }
      for (let cell = mode - 1, chance = atMode; cell >= least && chance > NEGLIGIBLE; cell--) {
        chance *= ((cell + 1) * (n - p - q + cell + 1)) / ((p - cell) * (q - cell));
        sum += chance * term(cell);
      }
    }
  }
  return sum;
}

const NEGLIGIBLE = 1e-22;

/**
 * Adjusted mutual information, as sklearn.metrics.adjusted_mutual_info_score (arithmetic average): 1 for equal partitions,
 * 0 on average for independent ones. Under permutations of the items `expected` stays what it is: compute it once.
 */
export function adjustedMutualInformation(
  a: Partition,
  b: Partition,
  expected: number = expectedMutualInformation(a.sizes, b.sizes),
): number {
  if (a.classes <= 1 || b.classes <= 1) return a.classes === b.classes ? 1 : 0;
  const gain = mutualInformation(a, b) - expected;
  const room = (entropy(a) + entropy(b)) / 2 - expected;
  const awayFromZero = (x: number) => (x < 0 ? Math.min(x, -Number.EPSILON) : Math.max(x, Number.EPSILON));
  return awayFromZero(gain) / awayFromZero(room);
}
