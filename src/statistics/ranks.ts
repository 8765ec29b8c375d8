/** Numbers to be ranked or correlated; every function here only reads them. */
export type Values = Float64Array | Float32Array | Int32Array | readonly number[];

/** How often each item counts (bootstrap counts): whole numbers >= 0. Item i with weight w stands for w copies of it. */
export type Weights = Int32Array | Uint16Array | Uint8Array;

const RUN = 12;

/** Indices that put `values` in ascending order, equal values in their order of appearance (merge sort). */
export function argsort(values: Values): Int32Array {
  const n = values.length;
  let keys = Float64Array.from(values);
  let order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let from = 0; from < n; from += RUN) {
    const to = Math.min(from + RUN, n);
    for (let i = from + 1; i < to; i++) {
      const key = keys[i];
      const item = order[i];
      let j = i - 1;
      for (; j >= from && keys[j] > key; j--) {
        keys[j + 1] = keys[j];
        order[j + 1] = order[j];
      }
      keys[j + 1] = key;
      order[j + 1] = item;
    }
  }
  let otherKeys = new Float64Array(n);
  let otherOrder = new Int32Array(n);
  for (let width = RUN; width < n; width *= 2) {
    for (let from = 0; from < n; from += 2 * width) {
      const middle = Math.min(from + width, n);
      const to = Math.min(from + 2 * width, n);
      for (let i = from, j = middle, k = from; k < to; k++) {
        const pick = j >= to || (i < middle && keys[i] <= keys[j]) ? i++ : j++;
        otherKeys[k] = keys[pick];
        otherOrder[k] = order[pick];
      }
    }
    [keys, otherKeys] = [otherKeys, keys];
    [order, otherOrder] = [otherOrder, order];
  }
  return order;
}

/**
 * Values put in order once, to be ranked many times under different weights (a bootstrap over texts moves the weights
 * and leaves the order alone). A NaN among the values makes every rank NaN.
 */
export class Ordering {
  /** Items from the smallest value to the largest. */
  readonly order: Int32Array;
  /** Where each group of equal values starts in `order`, and n at the end. */
  readonly groups: Int32Array;
  /** False where a value is NaN. */
  readonly sound: boolean;

  constructor(values: Values) {
    const n = values.length;
    const order = argsort(values);
    const groups = new Int32Array(n + 1);
    let count = 0;
    let sound = true;
    for (let i = 0; i < n; i++) {
      const value = values[order[i]];
      if (i === 0 || value !== values[order[i - 1]]) groups[count++] = i;
      if (Number.isNaN(value)) sound = false;
    }
    groups[count++] = n;
    this.order = order;
    this.groups = groups.subarray(0, count);
    this.sound = sound;
  }

  get length(): number {
    return this.order.length;
  }

  /** Average ranks from 1 (ties share the mean of their ranks, as scipy.stats.rankdata); copies by weight count. */
  ranks(weights?: Weights): Float64Array {
    const { order, groups } = this;
    const ranks = new Float64Array(order.length);
    if (!this.sound) return ranks.fill(Number.NaN);
    let below = 0;
    for (let g = 0; g + 1 < groups.length; g++) {
      let tied = 0;
      if (weights) for (let i = groups[g]; i < groups[g + 1]; i++) tied += weights[order[i]];
      else tied = groups[g + 1] - groups[g];
      const rank = below + (tied + 1) / 2;
      for (let i = groups[g]; i < groups[g + 1]; i++) ranks[order[i]] = rank;
      below += tied;
    }
    return ranks;
  }
}

/** Average ranks from 1, as scipy.stats.rankdata. */
export function averageRanks(values: Values, weights?: Weights): Float64Array {
  return new Ordering(values).ranks(weights);
}

/** Pearson's correlation of two columns, fp64; NaN where either is constant or there are fewer than two items. */
export function pearson(x: Values, y: Values, weights?: Weights): number {
  const n = x.length;
  let total = 0;
  let meanX = 0;
  let meanY = 0;
  for (let i = 0; i < n; i++) {
    const w = weights ? weights[i] : 1;
    total += w;
    meanX += w * x[i];
    meanY += w * y[i];
  }
  meanX /= total;
  meanY /= total;
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < n; i++) {
    const w = weights ? weights[i] : 1;
    const dx = x[i] - meanX;
    const dy = y[i] - meanY;
    xx += w * dx * dx;
    yy += w * dy * dy;
    xy += w * dx * dy;
  }
  if (!(xx > 0 && yy > 0)) return Number.NaN;
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
}

/**
 * Spearman's rank correlation with ties, as scipy.stats.spearmanr, in [-1, 1]. NaN where either side is constant (or holds
 * a NaN) among the items that count. Pass an `Ordering` for a side that stays the same over many calls.
 */
export function spearman(x: Values | Ordering, y: Values | Ordering, weights?: Weights): number {
  const a = x instanceof Ordering ? x : new Ordering(x);
  const b = y instanceof Ordering ? y : new Ordering(y);
  return pearson(a.ranks(weights), b.ranks(weights), weights);
}

/**
 * Area under the ROC curve: the chance that an item with label 1 scores above one with label 0, ties counting half, in
 * [0, 1]; any other label leaves the item out. NaN where a class is empty or a score is NaN.
 */
export function auc(scores: Values | Ordering, labels: ArrayLike<number>, weights?: Weights): number {
  const { order, groups, sound } = scores instanceof Ordering ? scores : new Ordering(scores);
  if (!sound) return Number.NaN;
  let below = 0;
  let wins = 0;
  let positives = 0;
  for (let g = 0; g + 1 < groups.length; g++) {
    let ones = 0;
    let zeros = 0;
    for (let i = groups[g]; i < groups[g + 1]; i++) {
      const item = order[i];
      const w = weights ? weights[item] : 1;
      if (labels[item] === 1) ones += w;
      else if (labels[item] === 0) zeros += w;
    }
    wins += ones * (below + zeros / 2);
    below += zeros;
    positives += ones;
  }
  return wins / (positives * below);
}
