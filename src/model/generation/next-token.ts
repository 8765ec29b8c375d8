import type { Random } from '../../random.js';
import { decayed, maximum } from '../log-sum-exp.js';
import { requireFinite } from './finite-logits.js';
import type { GenerationOptions } from './options.js';

export type SamplingOptions = Pick<GenerationOptions, 'temperature' | 'topP' | 'topK' | 'minP' | 'repetitionPenalty'>;

/**
 * Chooses next tokens, of one text after another in the same memory: the repetition penalty first, then temperature, top-k, top-p and
 * min-p, each of what the one before leaves, as in transformers. Of tokens that are equally likely all stay where one does.
 */
export class NextToken {
  private readonly penalised: Float32Array;
  private readonly weights: Float64Array;
  private readonly candidates: Float64Array;

  constructor(vocabulary: number) {
    this.penalised = new Float32Array(vocabulary);
    this.weights = new Float64Array(vocabulary);
    this.candidates = new Float64Array(vocabulary);
  }

  /**
   * @param logits [vocabulary]
   * @param before tokens of the prompt and the text so far, each once
   * @throws MoralscopeError `bad-data` where the logits are not numbers
   */
  choose(logits: Float32Array, options: SamplingOptions, before: ReadonlySet<number>, random: Random): number {
    const scores = options.repetitionPenalty === 1 ? logits : this.penalise(logits, options.repetitionPenalty, before);
    if (options.temperature === 0) return likeliest(scores);
    const weights = this.weigh(scores, options);
    let left = random.uniform() * sum(weights);
    let last = 0;
    for (let id = 0; id < weights.length; id++) {
      if (weights[id] === 0) continue;
      last = id;
      left -= weights[id];
      if (left < 0) break;
    }
    return last;
  }

  /**
   * What a token is drawn from: probabilities up to a common factor, [vocabulary], until the next call.
   * @param scores logits, penalised if they are to be
   */
  weigh(scores: Float32Array, { temperature, topK, topP, minP }: Omit<SamplingOptions, 'repetitionPenalty'>): Float64Array {
    const { weights } = this;
    const most = requireFinite(maximum(scores, 0, scores.length));
    const sharpness = Math.min(1 / temperature, Number.MAX_VALUE);
    let total = 0;
    for (let id = 0; id < weights.length; id++) {
      const weight = decayed((most - scores[id]) * sharpness);
      weights[id] = weight;
      total += weight;
    }
    requireFinite(total);
    let [least, kth] = [minP, 0];
    if (topK > 0 && topK < weights.length) {
      kth = this.smallestNeeded(topK, this.gather(this.boundOfTop(topK)), false);
      if (topP < 1) total = sum(weights, kth);
      least = Math.max(least, kth);
    }
    if (topP < 1) {
      // All tokens with less than this together have less than what may be left out.
      const negligible = ((1 - topP) * total) / weights.length;
      const needed = this.smallestNeeded(topP * total, this.gather(Math.max(kth, negligible)), true);
      least = Math.max(least, needed);
    }
    if (least > 0) for (let id = 0; id < weights.length; id++) if (weights[id] < least) weights[id] = 0;
    return weights;
  }

  private penalise(logits: Float32Array, penalty: number, before: ReadonlySet<number>): Float32Array {
    this.penalised.set(logits);
    for (const id of before) this.penalised[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
    return this.penalised;
  }

  /** A weight that at least so many reach: that many blocks of the vocabulary have one. */
  private boundOfTop(count: number): number {
    const { weights, candidates: largest } = this;
    const blocks = 4 * count;
    if (blocks >= weights.length) return 0;
    const size = Math.ceil(weights.length / blocks);
    let end = 0;
    for (let from = 0; from < weights.length; from += size, end++) {
      const to = Math.min(from + size, weights.length);
      let most = weights[from];
      for (let id = from + 1; id < to; id++) if (weights[id] > most) most = weights[id];
      largest[end] = most;
    }
    return end < count ? 0 : this.smallestNeeded(count, end, false);
  }

  /** Puts the weights from `least` up among the candidates. */
  private gather(least: number): number {
    const { weights, candidates } = this;
    let end = 0;
    for (let id = 0; id < weights.length; id++) if (weights[id] >= least) candidates[end++] = weights[id];
    return end;
  }

  /**
   * The smallest that is needed when the largest of the first candidates are taken one by one until there are so many, or together
   * weigh so much. The candidates change places.
   */
  private smallestNeeded(target: number, candidates: number, byWeight: boolean): number {
    const x = this.candidates;
    let end = candidates;
    let start = 0;
    let taken = 0;
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
          above += byWeight ? value : 1;
        } else if (value < pivot) {
          x[i] = x[--smaller];
          x[smaller] = value;
        } else i++;
      }
      const equal = (smaller - larger) * (byWeight ? pivot : 1);
      if (taken + above >= target && larger > start) end = larger;
      else if (taken + above + equal >= target || smaller === end) return pivot;
      else {
        taken += above + equal;
        start = smaller;
      }
    }
  }
}

/** The first of the largest. */
function likeliest(scores: Float32Array): number {
  return scores.indexOf(requireFinite(maximum(scores, 0, scores.length)));
}

function sum(weights: Float64Array, least = 0): number {
  let total = 0;
  for (let i = 0; i < weights.length; i++) if (weights[i] >= least) total += weights[i];
  return total;
}

function middle(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
