import { polarityLabels } from '../diagnosis/readout.js';
import { Random } from '../random.js';
import { auc, Ordering, spearman } from '../statistics/ranks.js';
import { bootstrapCounts, interval95, quantileSorted } from '../statistics/resampling.js';
import type { LabelledTexts } from './labelled-texts.js';
import type { Estimate } from './schema.js';

/** A statistic as observed and under every draw of a bootstrap; the draws of two statistics of the same texts are the same. NaN: not computable. */
export interface Drawn {
  value: number;
  draws: Float64Array;
}

const EMPTY = 'the texts lack a virtue or a vice';

/** Scores of judged texts under one paired bootstrap: units are drawn again, and every score is measured on the same draws. */
export class PairedBootstrap {
  private readonly labels: Int8Array;
  private readonly valence: Ordering;
  /** How often each text counts in a draw. */
  private readonly weights: Uint16Array[];

  constructor(
    private readonly texts: Pick<LabelledTexts, 'valence' | 'unit' | 'units' | 'pairs'>,
    { bootstraps, seed }: { bootstraps: number; seed: number },
  ) {
    this.labels = polarityLabels(texts.valence);
    this.valence = new Ordering(texts.valence);
    this.weights = Array.from({ length: texts.units < 2 ? 0 : bootstraps }, (_, b) => {
      const counts = bootstrapCounts(texts.units, new Random(seed, 'units', b));
      return Uint16Array.from(texts.unit, (unit) => counts[unit]);
    });
  }

  /** AUC of good against bad texts. */
  auc(scores: Float64Array): Drawn {
    const ordering = new Ordering(scores);
    return this.drawn((weights) => auc(ordering, this.labels, weights));
  }

  /** Spearman with the signed judgment. */
  spearman(scores: Float64Array): Drawn {
    const ordering = new Ordering(scores);
    return this.drawn((weights) => spearman(ordering, this.valence, weights));
  }

  /** Mean of the two classes' means. */
  bias(scores: Float64Array): Drawn {
    return this.drawn((weights) => {
      const [sum, number] = [new Float64Array(2), new Float64Array(2)];
      for (let i = 0; i < scores.length; i++) {
        const label = this.labels[i];
        if (label < 0) continue;
        const times = weights ? weights[i] : 1;
        sum[label] += times * scores[i];
        number[label] += times;
      }
      return (sum[0] / number[0] + sum[1] / number[1]) / 2;
    });
  }

  /** Share of pairs whose good text scores above the bad one, ties half. */
  pairsRight(scores: Float64Array): Drawn | undefined {
    const { pairs, units } = this.texts;
    if (!pairs) return undefined;
    return this.drawn((weights) => {
      let [right, all] = [0, 0];
      for (let pair = 0; pair < units; pair++) {
        const [good, bad] = [pairs[2 * pair], pairs[2 * pair + 1]];
        const times = weights ? weights[good] : 1;
        right += times * rightness(scores[good], scores[bad]);
        all += times;
      }
      return right / all;
    });
  }

  private drawn(measure: (weights?: Uint16Array) => number): Drawn {
    return { value: measure(), draws: Float64Array.from(this.weights, (weights) => measure(weights)) };
  }
}

/** 1 where the good text of a pair scores above the bad one, 0 below, 1/2 where they score alike; NaN without scores. */
export function rightness(good: number, bad: number): number {
  return (1 + Math.sign(good - bad)) / 2;
}

/** Draw by draw. */
export function minus(a: Drawn, b: Drawn): Drawn {
  return { value: a.value - b.value, draws: a.draws.map((draw, i) => draw - b.draws[i]) };
}

/** A level with its interval. */
export function estimate({ value, draws }: Drawn, bounds?: readonly [number, number], whyEmpty = EMPTY): Estimate {
  if (!Number.isFinite(value)) return { value: null, why: whyEmpty };
  const ci95 = interval95(value, draws, bounds);
  return { value, ...(ci95 && { ci95 }) };
}

/** A difference with its interval and its two-sided p. */
export function difference(drawn: Drawn, whyEmpty?: string): Estimate {
  const found = estimate(drawn, undefined, whyEmpty);
  const known = drawn.draws.filter(Number.isFinite);
  if (found.value === null || known.length === 0) return found;
  const beyond = (is: (draw: number) => boolean) => (1 + known.filter(is).length) / (1 + known.length);
  return {
    ...found,
    p: Math.min(
      1,
      2 *
        Math.min(
          beyond((draw) => draw <= 0),
          beyond((draw) => draw >= 0),
        ),
    ),
  };
}

/** Whether the interval of a difference lies on one side of 0: its sign, or 0. */
export function side({ ci95 }: Estimate): -1 | 0 | 1 {
  return !ci95 || (ci95[0] <= 0 && ci95[1] >= 0) ? 0 : ci95[0] > 0 ? 1 : -1;
}

/**
 * (after - before) / (knows - before), with the percentile interval of the draws' ratios (docs/paper.md section 8). Empty where the interval of
 * the gap, knows - before, holds 0, or lies below it: then there is none to close.
 */
export function gapClosed(before: Drawn, after: Drawn, knows: Drawn): Estimate {
  const gap = minus(knows, before);
  const whole = difference(gap);
  if (whole.value === null) return whole;
  if (side(whole) <= 0) return { value: null, why: 'no gap: what is known is not seen to be more than what is said' };
  const gain = minus(after, before);
  const ratios = gap.draws
    // A draw without a gap counts as one that is closed, or opened, beyond any measure.
    .map((of, i) => (of > 0 ? gain.draws[i] / of : gain.draws[i] > 0 ? Infinity : -Infinity))
    .filter((ratio) => !Number.isNaN(ratio))
    .sort();
  const finite = ratios.filter(Number.isFinite);
  const clamp = (ratio: number) => Math.max(finite[0], Math.min(finite[finite.length - 1], ratio));
  const at = (share: number) => clamp(quantileSorted(ratios.map(clamp), share));
  return { value: gain.value / gap.value, ...(finite.length >= 20 && { ci95: [at(0.025), at(0.975)] }) };
}
