import { logSumExp } from '../log-sum-exp.js';
import { requireFinite } from './finite-logits.js';

/** Natural log-probabilities of some tokens one after another, of the model's own distribution: before any penalty or temperature. */
export interface LogProbs {
  /** Of the tokens, [tokens]; NaN for a text's first, which nothing comes before. */
  readonly chosen: Float64Array;
  /** How many of the likeliest tokens are told in each place. */
  readonly top: number;
  /** Their ids, the likeliest first, [tokens, top]; -1 in a text's first place. */
  readonly topIds: Int32Array;
  /** [tokens, top]; NaN in a text's first place. */
  readonly topLogProbs: Float64Array;
}

/** Gathers log-probabilities token by token. */
export class LogProbsBuilder {
  private chosen: number[] = [];
  private topIds: number[] = [];
  private topLogProbs: number[] = [];

  constructor(private readonly top: number) {}

  /** A text's first token. */
  first(): void {
    this.chosen.push(Number.NaN);
    for (let i = 0; i < this.top; i++) {
      this.topIds.push(-1);
      this.topLogProbs.push(Number.NaN);
    }
  }

  /**
   * @param logits those that the token follows, [vocabulary]
   * @throws MoralscopeError `bad-data` where they are not numbers
   */
  add(logits: Float32Array, tokenId: number): void {
    const total = requireFinite(logSumExp(logits, 0, logits.length));
    this.chosen.push(logits[tokenId] - total);
    for (const id of largest(logits, this.top)) {
      this.topIds.push(id);
      this.topLogProbs.push(logits[id] - total);
    }
  }

  /** What was added since the last call. */
  take(): LogProbs {
    const taken = {
      chosen: Float64Array.from(this.chosen),
      top: this.top,
      topIds: Int32Array.from(this.topIds),
      topLogProbs: Float64Array.from(this.topLogProbs),
    };
    this.chosen = [];
    this.topIds = [];
    this.topLogProbs = [];
    return taken;
  }
}

/** One after the other. */
export function joinLogProbs(parts: readonly LogProbs[]): LogProbs {
  return {
    chosen: Float64Array.from(parts.flatMap(({ chosen }) => [...chosen])),
    top: parts[0]?.top ?? 0,
    topIds: Int32Array.from(parts.flatMap(({ topIds }) => [...topIds])),
    topLogProbs: Float64Array.from(parts.flatMap(({ topLogProbs }) => [...topLogProbs])),
  };
}

/** The places of the largest numbers, the largest first; of equal ones the first. */
function largest(x: Float32Array, count: number): number[] {
  const found: number[] = [];
  const most = Math.min(count, x.length);
  if (most === 0) return found;
  let least = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < x.length; i++) {
    if (found.length === most && x[i] <= least) continue;
    let at = found.length;
    while (at > 0 && x[found[at - 1]] < x[i]) at--;
    found.splice(at, 0, i);
    if (found.length > most) found.pop();
    least = x[found[found.length - 1]];
  }
  return found;
}
