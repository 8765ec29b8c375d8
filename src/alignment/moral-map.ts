/** @file How the chosen latents stand for the ten poles: the map from z to a_d of docs/paper.md section 7. */
import { POLES } from '../moral/foundation.js';

/** Latents of a pole that enter a_d, and those whose mean is the pole's activation in L_pol. */
const [MAPPED, LEADING] = [50, 20];
const K = POLES.length;

/** The map of some latents, from their correlations. Its rows are those latents, in their order. */
export class MoralMap {
  /** M_df, [latents, 10]: a_d = sum over f of M_df z_f. A pole's weights sum to 1, or are all 0 where no latent has r > 0. */
  readonly weights: Float64Array;
  /** [latents, 10]: 1 / 20 where the latent is among the pole's 20 with the largest r > 0 (fewer: 1 / their number). */
  readonly leading: Float64Array;
  /** The pole with which each latent has the largest r: its dimension in L_mono. */
  readonly dimension: Uint8Array;
  readonly latents: number;

  /** @param r of each latent with every pole, [latents, 10]; what is no number counts as 0 */
  constructor(r: Float64Array) {
    const latents = r.length / K;
    const of = (latent: number, pole: number) => r[latent * K + pole] || 0;
    this.latents = latents;
    this.weights = new Float64Array(r.length);
    this.leading = new Float64Array(r.length);
    this.dimension = new Uint8Array(latents);
    const all = Array.from({ length: latents }, (_, latent) => latent);
    for (let pole = 0; pole < K; pole++) {
      const positive = all.filter((f) => of(f, pole) > 0).sort((a, b) => of(b, pole) - of(a, pole) || a - b);
      const mapped = positive.slice(0, MAPPED);
      const total = mapped.reduce((sum, f) => sum + of(f, pole), 0);
      for (const f of mapped) this.weights[f * K + pole] = of(f, pole) / total;
      const leading = positive.slice(0, LEADING);
      for (const f of leading) this.leading[f * K + pole] = 1 / leading.length;
    }
    for (const f of all)
      for (let pole = 1; pole < K; pole++) if (of(f, pole) > of(f, this.dimension[f])) this.dimension[f] = pole;
  }
}
