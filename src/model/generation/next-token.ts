import type { Random } from '../../random.js';
import { decayed, maximum } from '../log-sum-exp.js';
import { requireFinite } from './finite-logits.js';
import type { GenerationOptions } from './options.js';

export type SamplingOptions = Pick<GenerationOptions, 'temperature' | 'topP' | 'topK' | 'minP' | 'repetitionPenalty'>;

/** Tokens that may be drawn, by id, and their probabilities up to a common factor. */
export interface Candidates {
  ids: Int32Array;
  weights: Float64Array;
}

/** Ids whose weights are added up together where all are drawn from. */
const BLOCK = 512;

/**
 * Chooses next tokens, of one text after another in the same memory: the repetition penalty first, then temperature, top-k, top-p and
 * min-p, each of what the one before leaves, as in transformers. Of tokens that are equally likely all stay where one does.
 */
export class NextToken {
  private readonly penalised: Float32Array;
  private readonly ids: Int32Array;
  private readonly weights: Float64Array;
  private readonly scratch: Float64Array;

  constructor(private readonly vocabulary: number) {
    this.penalised = new Float32Array(vocabulary);
    this.ids = new Int32Array(vocabulary);
    this.weights = new Float64Array(vocabulary);
    this.scratch = new Float64Array(vocabulary);
  }

  /**
   * @param logits [vocabulary]
   * @param before tokens of the prompt and the text so far, each once
   * @throws MoralscopeError `bad-data` where the logits are not numbers
   */
  choose(logits: Float32Array, options: SamplingOptions, before: ReadonlySet<number>, random: Random): number {
    const { temperature, topK, topP, minP, repetitionPenalty } = options;
    const scores = repetitionPenalty === 1 ? logits : this.penalise(logits, repetitionPenalty, before);
    if (temperature === 0) return scores.indexOf(requireFinite(maximum(scores, 0, scores.length)));
    const all = topK === 0 && topP === 1 && minP === 0;
    if (all) return this.drawOfAll(scores, temperature, random.uniform());
    const { ids, weights } = this.candidates(scores, options);
    return ids[placeOf(random.uniform() * sum(weights), weights)];
  }

  /**
   * What a token is drawn from, until the next call.
   * @param scores logits, penalised if they are to be
   */
  candidates(scores: Float32Array, { temperature, topK, topP, minP }: Omit<SamplingOptions, 'repetitionPenalty'>): Candidates {
    const { ids, weights, vocabulary } = this;
    const most = requireFinite(maximum(scores, 0, vocabulary));
    const sharpness = sharpnessOf(temperature);
    const limited = topK > 0 && topK < vocabulary;
    const bound = limited ? this.boundOfTop(topK, scores) : Number.NEGATIVE_INFINITY;
    // The likeliest weighs 1: all that weigh less than this weigh together less than what top-p leaves out.
    const negligible = limited ? 0 : Math.max(minP, (1 - topP) / vocabulary);
    let count = 0;
    let total = 0;
    for (let id = 0; id < vocabulary; id++) {
      const weight = decayed((most - scores[id]) * sharpness);
      total += weight;
      if (weight < negligible || scores[id] < bound) continue;
      ids[count] = id;
      weights[count++] = weight;
    }
    requireFinite(total);
    if (limited) {
      count = this.keep(this.smallestNeeded(topK, count, false), count);
      total = sum(weights.subarray(0, count));
    }
    if (topP < 1) {
      count = this.keep(((1 - topP) * total) / vocabulary, count);
      count = this.keep(this.smallestNeeded(topP * total, count, true), count);
    }
    count = this.keep(minP, count);
    return { ids: ids.subarray(0, count), weights: weights.subarray(0, count) };
  }

  private penalise(logits: Float32Array, penalty: number, before: ReadonlySet<number>): Float32Array {
    this.penalised.set(logits);
    for (const id of before) this.penalised[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
    return this.penalised;
  }

  /** Keeps no more than sums of weights, which of a large vocabulary take longer to write down than to compute twice. */
  private drawOfAll(scores: Float32Array, temperature: number, share: number): number {
    const most = requireFinite(maximum(scores, 0, scores.length));
    const sharpness = sharpnessOf(temperature);
    const sums = this.scratch.subarray(0, Math.ceil(scores.length / BLOCK));
    for (let block = 0; block < sums.length; block++) {
      const end = Math.min((block + 1) * BLOCK, scores.length);
      let total = 0;
      for (let id = block * BLOCK; id < end; id++) total += decayed((most - scores[id]) * sharpness);
      sums[block] = total;
    }
    const target = share * requireFinite(sum(sums));
    const block = placeOf(target, sums);
    const start = block * BLOCK;
    const weights = this.weights.subarray(0, Math.min(BLOCK, scores.length - start));
    for (let i = 0; i < weights.length; i++) weights[i] = decayed((most - scores[start + i]) * sharpness);
    return start + placeOf(target - sum(sums.subarray(0, block)), weights);
  }

  /** Leaves out candidates that weigh less. */
  private keep(least: number, count: number): number {
    const { ids, weights } = this;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      if (weights[i] < least) continue;
      ids[kept] = ids[i];
      weights[kept++] = weights[i];
    }
    return kept;
  }

  /** A score that at least so many reach: that many blocks of the vocabulary have one. */
  private boundOfTop(count: number, scores: Float32Array): number {
    const blocks = 4 * count;
    if (blocks >= scores.length) return Number.NEGATIVE_INFINITY;
    const size = Math.ceil(scores.length / blocks);
    let end = 0;
    for (let from = 0; from < scores.length; from += size)
      this.scratch[end++] = maximum(scores, from, Math.min(from + size, scores.length));
    return end < count ? Number.NEGATIVE_INFINITY : smallestNeeded(this.scratch.subarray(0, end), count, false);
  }

  /** Of the first candidates' weights. */
  private smallestNeeded(target: number, count: number, byValue: boolean): number {
    const values = this.scratch.subarray(0, count);
    values.set(this.weights.subarray(0, count));
    return smallestNeeded(values, target, byValue);
  }
}

/**
 * The smallest number that is needed when the largest are taken one by one until there are so many, or together come to so much.
 * @param x changes its order
 */
function smallestNeeded(x: Float64Array, target: number, byValue: boolean): number {
  let [start, end, taken] = [0, x.length, 0];
  for (;;) {
    const pivot = middle(x[start], x[(start + end - 1) >> 1], x[end - 1]);
    // x[start .. larger) > pivot, x[larger .. smaller) = pivot, x[smaller .. end) < pivot
    let larger = start;
    let smaller = end;
    let above = 0;
    for (let i = start; i < smaller; ) {
      const value = x[i];
      if (value > pivot) {
        x[i++] = x[larger];
        x[larger++] = value;
        above += byValue ? value : 1;
      } else if (value < pivot) {
        x[i] = x[--smaller];
        x[smaller] = value;
      } else i++;
    }
    const equal = (smaller - larger) * (byValue ? pivot : 1);
    if (taken + above >= target && larger > start) end = larger;
    else if (taken + above + equal >= target || smaller === end) return pivot;
    else {
      taken += above + equal;
      start = smaller;
    }
  }
}

/** The first place up to which the numbers come to more than this; at the latest the last that is not 0. */
function placeOf(target: number, x: Float64Array): number {
  let left = target;
  let last = 0;
  for (let i = 0; i < x.length; i++) {
    if (x[i] === 0) continue;
    last = i;
    left -= x[i];
    if (left < 0) break;
  }
  return last;
}

function sharpnessOf(temperature: number): number {
  return Math.min(1 / temperature, Number.MAX_VALUE);
}

function sum(x: Float64Array): number {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += x[i];
  return total;
}

function middle(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
