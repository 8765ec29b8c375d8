/** @file AdamW under a one-cycle schedule, as PyTorch's `AdamW` and `OneCycleLR` with their defaults. */

/** Adam's second decay and epsilon, and the share of the rate that decays weights is told at opening. */
const [BETA2, EPSILON] = [0.999, 1e-8];
/** The share of the steps in which the rate rises, and what it starts and ends with: peak / 25, and that / 10^4. */
const [RISE, START, END] = [0.3, 25, 1e4];
/** Adam's first decay falls while the rate rises. */
const [SLOW, QUICK] = [0.95, 0.85];

/** Rate and first decay of a step. */
export interface CyclePoint {
  rate: number;
  beta1: number;
}

/**
 * The point of a cosine one-cycle schedule.
 * @param step from 0
 * @param steps of the whole run
 */
export function oneCycle(step: number, steps: number, peak: number): CyclePoint {
  const top = RISE * steps - 1;
  const rising = step <= top;
  const share = rising ? step / top : (step - top) / (steps - 1 - top);
  const between = (from: number, to: number) => to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share));
  const start = peak / START;
  return rising
    ? { rate: between(start, peak), beta1: between(SLOW, QUICK) }
    : { rate: between(peak, start / END), beta1: between(QUICK, SLOW) };
}

/** AdamW of one tensor. */
export class AdamW {
  private readonly mean: Float32Array;
  private readonly square: Float32Array;
  private step = 0;

  constructor(
    readonly weight: Float32Array,
    private readonly decay: number,
  ) {
    this.mean = new Float32Array(weight.length);
    this.square = new Float32Array(weight.length);
  }

  /** One step along the gradient. */
  take(gradient: Float32Array | Float64Array, { rate, beta1 }: CyclePoint): void {
    const { weight, mean, square, decay } = this;
    this.step++;
    const [first, second] = [1 - beta1 ** this.step, Math.sqrt(1 - BETA2 ** this.step)];
    for (let i = 0; i < weight.length; i++) {
      const g = gradient[i];
      const m = beta1 * mean[i] + (1 - beta1) * g;
      const v = BETA2 * square[i] + (1 - BETA2) * g * g;
      mean[i] = m;
      square[i] = v;
      weight[i] = weight[i] * (1 - rate * decay) - ((rate / first) * m) / (Math.sqrt(v) / second + EPSILON);
    }
  }
}
