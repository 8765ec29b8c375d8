/** @file Which texts are typical of their pole: alignment draws them more often (docs/paper.md section 7). */
import { cosine } from '../diagnosis/prototypes.js';
import { centre } from '../diagnosis/states.js';
import { POLES } from '../moral/foundation.js';
import type { Random } from '../random.js';
import type { Judgments } from './aligned-texts.js';
import type { Profile } from './alignment-profile.js';

const K = POLES.length;

/**
 * (1 + cosine) / 2 of each text's centred state and the prototype of the pole with its largest m; 1 / 2 for a text without a pole, or
 * of one without a prototype. A prototype is the mean over m = 1 [paper], or the mean weighted by m [ours].
 * @param x states of the texts, [n, d]
 */
export function typicality(x: Float32Array, d: number, { n, m }: Pick<Judgments, 'n' | 'm'>, profile: Profile): Float64Array {
  const { data } = centre({ n, d, data: x });
  const state = (text: number) => data.subarray(text * d, (text + 1) * d);
  const prototypes = POLES.map((_, pole) => {
    const sum = new Float64Array(d);
    for (let text = 0; text < n; text++) {
      const weight = profile === 'paper' ? Number(m[text * K + pole] === 1) : m[text * K + pole];
      if (weight > 0) for (let c = 0, at = text * d; c < d; c++) sum[c] += weight * data[at++];
    }
    return Float32Array.from(sum);
  });
  return Float64Array.from({ length: n }, (_, text) => {
    const of = m.subarray(text * K, (text + 1) * K);
    const most = Math.max(...of);
    const along = most > 0 ? cosine(state(text), prototypes[of.indexOf(most)]) : 0;
    return (1 + (Number.isNaN(along) ? 0 : along)) / 2;
  });
}

/** n draws with replacement, each text as often as its weight says. */
export function weightedDraws(weights: Float64Array, n: number, random: Random): Int32Array {
  const ends = new Float64Array(weights.length);
  let total = 0;
  for (let i = 0; i < weights.length; i++) ends[i] = total += weights[i];
  return Int32Array.from({ length: n }, () => {
    const at = random.uniform() * total;
    let [low, high] = [0, weights.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle] > at) high = middle;
      else low = middle + 1;
    }
    return low;
  });
}
