import { auc, spearman } from '../statistics/ranks.js';

/** The readout of every text: log(sum of p over virtue words) - log(sum over vice words) at the template's end, in nats (docs/paper.md section 3.5). */
export function logOdds(logProbs: Float32Array, tokens: number, pairs: readonly (readonly [number, number])[]): Float64Array {
  const sides = [0, 1].map((side) => [...new Set(pairs.map((pair) => pair[side]))]);
  return Float64Array.from({ length: logProbs.length / tokens }, (_, i) => {
    const [virtue, vice] = sides.map((words) => logSumExp(words.map((word) => logProbs[i * tokens + word])));
    return virtue - vice;
  });
}

/** 1 for texts judged good, 0 for bad, -1 (in neither class) for neutral. */
export function polarityLabels(valence: Float32Array): Int8Array {
  return Int8Array.from(valence, (v) => (v > 0 ? 1 : v < 0 ? 0 : -1));
}

/** Where the values stand in `readoutStatistics`. */
export const READOUT = { auc: 0, spearman: 1, bias: 2 } as const;

/** AUC of virtue against vice, Spearman with the signed judgment, and bias: the mean of the two classes' means. */
export function readoutStatistics(odds: Float64Array, valence: Float32Array, counts?: Uint16Array): Float64Array {
  const labels = polarityLabels(valence);
  const [sum, number] = [
    [0, 0],
    [0, 0],
  ];
  for (let i = 0; i < odds.length; i++) {
    const label = labels[i];
    if (label < 0) continue;
    const times = counts ? counts[i] : 1;
    sum[label] += times * odds[i];
    number[label] += times;
  }
  return Float64Array.of(
    auc(odds, labels, counts),
    spearman(odds, valence, counts),
    (sum[0] / number[0] + sum[1] / number[1]) / 2,
  );
}

function logSumExp(values: number[]): number {
  const most = Math.max(...values);
  return most + Math.log(values.reduce((sum, v) => sum + Math.exp(v - most), 0));
}
