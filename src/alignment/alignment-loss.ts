/** @file The loss of docs/paper.md section 7 with its gradient. */
import type { ProductShape } from '../graph/matmul.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import type { Random } from '../random.js';
import type { AlignedTexts, Judgments } from './aligned-texts.js';
import type { Profile } from './alignment-profile.js';
import type { ChosenRows } from './chosen-rows.js';
import type { MoralMap } from './moral-map.js';

const K = POLES.length;

/** The terms of the loss, and how much each counts. */
export const TERM_WEIGHTS = { rec: 1, sparsity: 1e-4, align: 0.5, pol: 0.3, proto: 0.2, mono: 0.1 } as const;
export type Term = keyof typeof TERM_WEIGHTS;
/** The terms, each before its weight. */
export type Terms = Record<Term, number>;
export const TERMS = Object.keys(TERM_WEIGHTS) as Term[];

/** L_pol: the margin between opposed poles, and the m from which a text counts as of a pole. */
const [MARGIN, STRONG] = [0.5, 0.3];
/** L_proto: its margin, and pairs of a pole at most. */
const [PROTO_MARGIN, PAIRS] = [0.1, 100];

type Numbers = Float32Array | Float64Array;

/** a b of matrices, as `MatMul.product`; in fp64 where the parameters are. */
export type Multiply = (a: Numbers, b: Numbers, shape: ProductShape) => Promise<Numbers>;

/** Two texts of a batch with m > 0 on the same pole. */
export interface TextPair {
  pole: number;
  i: number;
  j: number;
}

/** In which unit z, and in which variance the reconstruction is measured. */
export interface Units {
  z: number;
  variance: number;
}

export interface LossOptions {
  map: MoralMap;
  profile: Profile;
  /** Latents of the whole autoencoder: mean |z| is over all. */
  width: number;
  /** [latents], where they have one. */
  threshold: Float32Array | undefined;
  /** Default: 1 and 1, what docs/paper.md says. */
  units?: Units;
  /** How much each term counts; default: `TERM_WEIGHTS`. */
  weights?: Readonly<Partial<Terms>>;
}

/** The chosen latents on a batch. */
interface Active {
  /** [n, latents] */
  z: Numbers;
  /** a_d, [n, 10] */
  a: Float64Array;
  /** Mean activation of each pole's leading latents, [n, 10]. */
  poles: Float64Array;
}

/**
 * L = L_rec + 1e-4 mean |z| + .5 L_align + .3 L_pol + .2 L_proto + .1 L_mono of some chosen latents, all others frozen. Where the
 * profiles differ: L_align compares sigmoid(a_d) with m_d where m_d > 0 [paper], or clamp(s_d a_d, 0, 1) on the entries of tagged
 * foundations, zeros included [ours]; L_pol takes texts of any virtue (vice) [paper] or of the pair's own foundation [ours];
 * L_proto keeps tied pairs [paper] or not [ours]; L_mono's dimension of a text is in its `largest`.
 */
export class AlignmentLoss {
  private readonly weights: Terms;
  private readonly units: Units;
  /** s_d of L_align [ours]. */
  private scale = new Float64Array(K).fill(1);
  /** Latents of each dimension. */
  private readonly ofDimension = new Int32Array(K);

  constructor(private readonly options: LossOptions) {
    this.weights = { ...TERM_WEIGHTS, ...options.weights };
    this.units = options.units ?? { z: 1, variance: 1 };
    for (const pole of options.map.dimension) this.ofDimension[pole]++;
  }

  /** Sets s_d by least squares of m_d on a_d over the entries of tagged foundations. [paper] has none. */
  async fitScale(texts: AlignedTexts, rows: ChosenRows<Numbers>, multiply: Multiply): Promise<void> {
    if (this.options.profile === 'paper') return;
    const { a } = await this.active(texts, rows, multiply);
    for (let pole = 0; pole < K; pole++) {
      let [product, square] = [0, 0];
      for (let i = 0; i < texts.n; i++) {
        if (!texts.tagged[i * FOUNDATIONS.length + (pole >> 1)]) continue;
        product += a[i * K + pole] * texts.m[i * K + pole];
        square += a[i * K + pole] ** 2;
      }
      this.scale[pole] = square > 0 ? product / square : 0;
    }
  }

  /** a_d of texts, [n, 10]. */
  async activations(
    texts: Pick<AlignedTexts, 'n' | 'd' | 'input'>,
    rows: ChosenRows<Numbers>,
    multiply: Multiply,
  ): Promise<Float64Array> {
    return (await this.active(texts, rows, multiply)).a;
  }

  /**
   * The terms on a batch, each before its weight.
   * @param pairs of L_proto
   */
  async evaluate(batch: AlignedTexts, rows: ChosenRows<Numbers>, pairs: readonly TextPair[], multiply: Multiply): Promise<Terms> {
    return (await this.forward(batch, rows, pairs, multiply)).terms;
  }

  /** The same, and the gradient of their weighted sum. */
  async differentiate(
    batch: AlignedTexts,
    rows: ChosenRows<Numbers>,
    pairs: readonly TextPair[],
    multiply: Multiply,
  ): Promise<{ terms: Terms; gradient: ChosenRows<Numbers> }> {
    const { n, d, input, largest } = batch;
    const { map } = this.options;
    const { units, weights } = this;
    const f = map.latents;
    const { terms, z, miss, da, dPoles, shares } = await this.forward(batch, rows, pairs, multiply);
    const recSlope = 2 * weights.rec * shares.rec;
    const dz = await multiply(miss, rows.decoder, { m: n, n: f, k: d, transposeB: true });
    const bias = new Float64Array(f);
    for (let i = 0, at = 0; i < n; i++)
      for (let latent = 0; latent < f; latent++, at++) {
        // A latent that is not active has no slope: its threshold is frozen.
        if (!(z[at] > 0)) {
          dz[at] = 0;
          continue;
        }
        let slope = recSlope * dz[at] + weights.sparsity * shares.sparsity;
        if (isImpure(largest[i], map.dimension[latent])) slope += 2 * weights.mono * shares.mono * z[at];
        for (let pole = 0; pole < K; pole++) {
          const [of, on] = [latent * K + pole, i * K + pole];
          slope += (map.weights[of] * da[on] + map.leading[of] * dPoles[on]) / units.z;
        }
        dz[at] = slope;
        bias[latent] += slope;
      }
    const shape = { m: f, n: d, k: n, transposeA: true };
    const encoder = await multiply(dz, input, shape);
    const decoder = await multiply(z, miss, shape);
    for (let at = 0; at < decoder.length; at++) decoder[at] *= recSlope;
    return { terms, gradient: { encoder, bias, decoder } };
  }

  /** The weighted sum. */
  total(terms: Terms): number {
    return TERMS.reduce((sum, term) => sum + this.weights[term] * terms[term], 0);
  }

  private async forward(batch: AlignedTexts, rows: ChosenRows<Numbers>, pairs: readonly TextPair[], multiply: Multiply) {
    const { n, d, target, frozen, largest } = batch;
    const { map, width } = this.options;
    const { units } = this;
    const f = map.latents;
    const { z, a, poles } = await this.active(batch, rows, multiply);
    const [da, dPoles] = [new Float64Array(n * K), new Float64Array(n * K)];
    const miss = await multiply(z, rows.decoder, { m: n, n: d, k: f });
    let [squares, sizes, impureSquares, impure] = [0, 0, 0, 0];
    for (let at = 0; at < miss.length; at++) {
      const missed = miss[at] - target[at];
      miss[at] = missed;
      squares += missed * missed;
    }
    for (let i = 0, at = 0; i < n; i++) {
      sizes += frozen[i];
      if (largest[i] >= 0) impure += f - this.ofDimension[largest[i]];
      for (let latent = 0; latent < f; latent++, at++) {
        const value = z[at];
        sizes += value;
        if (isImpure(largest[i], map.dimension[latent])) impureSquares += value * value;
      }
    }
    const shares = {
      rec: 1 / (n * d * units.variance),
      sparsity: 1 / (n * width * units.z),
      mono: impure > 0 ? 1 / (impure * units.z ** 2) : 0,
    };
    const terms: Terms = {
      rec: shares.rec * squares,
      sparsity: shares.sparsity * sizes,
      align: this.align(batch, a, da),
      pol: this.pol(batch, poles, dPoles),
      proto: this.proto(batch, a, pairs, da),
      mono: shares.mono * impureSquares,
    };
    return { terms, z, miss, da, dPoles, shares };
  }

  private async active(
    { n, d, input }: Pick<AlignedTexts, 'n' | 'd' | 'input'>,
    { encoder, bias }: ChosenRows<Numbers>,
    multiply: Multiply,
  ): Promise<Active> {
    const { map, threshold } = this.options;
    const f = map.latents;
    const z = await multiply(input, encoder, { m: n, n: f, k: d, transposeB: true });
    const [a, poles] = [new Float64Array(n * K), new Float64Array(n * K)];
    for (let i = 0, at = 0; i < n; i++)
      for (let latent = 0; latent < f; latent++, at++) {
        const value = z[at] + bias[latent];
        if (!(value > 0) || (threshold && value <= threshold[latent])) {
          z[at] = 0;
          continue;
        }
        z[at] = value;
        for (let pole = 0; pole < K; pole++) {
          a[i * K + pole] += (map.weights[latent * K + pole] * value) / this.units.z;
          poles[i * K + pole] += (map.leading[latent * K + pole] * value) / this.units.z;
        }
      }
    return { z, a, poles };
  }

  private align({ n, m, tagged }: Judgments, a: Float64Array, da: Float64Array): number {
    const paper = this.options.profile === 'paper';
    const counts = (i: number, pole: number) =>
      paper ? m[i * K + pole] > 0 : tagged[i * FOUNDATIONS.length + (pole >> 1)] === 1;
    let [entries, sum] = [0, 0];
    for (let i = 0; i < n; i++) for (let pole = 0; pole < K; pole++) if (counts(i, pole)) entries++;
    for (let i = 0; i < n; i++)
      for (let pole = 0; pole < K; pole++) {
        if (!counts(i, pole)) continue;
        const at = i * K + pole;
        const scaled = this.scale[pole] * a[at];
        const value = paper ? 1 / (1 + Math.exp(-a[at])) : Math.min(1, Math.max(0, scaled));
        const slope = paper ? value * (1 - value) : scaled >= 0 && scaled <= 1 ? this.scale[pole] : 0;
        const miss = value - m[at];
        sum += miss * miss;
        da[at] += (this.weights.align * 2 * miss * slope) / entries;
      }
    return entries > 0 ? sum / entries : 0;
  }

  private pol({ n, m }: Judgments, poles: Float64Array, dPoles: Float64Array): number {
    let total = 0;
    for (let pole = 0; pole < K; pole++) {
      const other = pole ^ 1;
      const among: number[] = [];
      for (let i = 0; i < n; i++) if (this.judged(m, i, pole) > STRONG) among.push(i);
      for (const i of among) {
        const short = MARGIN - poles[i * K + pole] + poles[i * K + other];
        if (short <= 0) continue;
        const share = 1 / (among.length * 2 * FOUNDATIONS.length);
        total += share * short;
        dPoles[i * K + pole] -= this.weights.pol * share;
        dPoles[i * K + other] += this.weights.pol * share;
      }
    }
    return total;
  }

  /** How much a text is of a pole in L_pol: of any virtue, or any vice [paper]; of this one [ours]. */
  private judged(m: Float32Array, i: number, pole: number): number {
    if (this.options.profile === 'rigorous') return m[i * K + pole];
    let most = 0;
    for (let slot = pole & 1; slot < K; slot += 2) most = Math.max(most, m[i * K + slot]);
    return most;
  }

  private proto({ m }: Judgments, a: Float64Array, pairs: readonly TextPair[], da: Float64Array): number {
    let total = 0;
    for (const { pole, i, j } of pairs) {
      const [first, second] = [i * K + pole, j * K + pole];
      const dm = m[first] - m[second];
      const short = PROTO_MARGIN - dm * (a[first] - a[second]);
      if (short <= 0) continue;
      total += short / pairs.length;
      da[first] -= (this.weights.proto * dm) / pairs.length;
      da[second] += (this.weights.proto * dm) / pairs.length;
    }
    return total;
  }
}

/** Whether L_mono holds a latent of this dimension against a text of that largest one. */
const isImpure = (largest: number, dimension: number) => largest >= 0 && largest !== dimension;

/** For every pole at most 100 random pairs of texts with m > 0; the rigorous profile leaves out those with the same m. */
export function drawPairs({ n, m }: Judgments, profile: Profile, random: Random): TextPair[] {
  const pairs: TextPair[] = [];
  for (let pole = 0; pole < K; pole++) {
    const of: number[] = [];
    for (let i = 0; i < n; i++) if (m[i * K + pole] > 0) of.push(i);
    const most = Math.min(PAIRS, (of.length * (of.length - 1)) / 2);
    for (let drawn = 0; drawn < most; drawn++) {
      const first = random.below(of.length);
      const second = (first + 1 + random.below(of.length - 1)) % of.length;
      const [i, j] = [of[first], of[second]];
      if (profile === 'paper' || m[i * K + pole] !== m[j * K + pole]) pairs.push({ pole, i, j });
    }
  }
  return pairs;
}
