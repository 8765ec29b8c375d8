/** Location and scale of the columns of a matrix; what centring and standardising need. */
export class Columns {
  private constructor(
    readonly d: number,
    /** Mean of each column. */
    readonly mean: Float64Array,
    /** Standard deviation (with n) of each column; 0 where it is constant up to rounding. */
    readonly deviation: Float64Array,
  ) {}

  /** Means, then squares about them, in fp64: states carry constants a thousand times their signal. */
  static of(x: Float32Array, n: number, d: number): Columns {
    if (x.length !== n * d) throw new RangeError(`a matrix of ${n} x ${d} given ${x.length} numbers`);
    const mean = new Float64Array(d);
    const deviation = new Float64Array(d);
    for (let i = 0, at = 0; i < n; i++) for (let j = 0; j < d; j++) mean[j] += x[at++];
    for (let j = 0; j < d; j++) mean[j] /= n;
    for (let i = 0, at = 0; i < n; i++) {
      for (let j = 0; j < d; j++) {
        const difference = x[at++] - mean[j];
        deviation[j] += difference * difference;
      }
    }
    for (let j = 0; j < d; j++) {
      const value = Math.sqrt(deviation[j] / n);
      deviation[j] = value > 1e-6 * Math.abs(mean[j]) ? value : 0;
    }
    return new Columns(d, mean, deviation);
  }

  /** x [n, d] minus the means. */
  centre(x: Float32Array): Float32Array {
    return this.apply(x, new Float64Array(this.d).fill(1));
  }

  /** x [n, d] minus the means, over the deviations; 0 in columns that are constant. */
  standardise(x: Float32Array): Float32Array {
    return this.apply(
      x,
      this.deviation.map((s) => (s > 0 ? 1 / s : 0)),
    );
  }

  private apply(x: Float32Array, factor: Float64Array): Float32Array {
    const { d, mean } = this;
    const out = new Float32Array(x.length);
    for (let at = 0; at < x.length; ) for (let j = 0; j < d; j++, at++) out[at] = (x[at] - mean[j]) * factor[j];
    return out;
  }
}
