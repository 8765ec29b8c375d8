/** @file The loss of PAPER.md section 7 with its gradient, in fp64 over what is active. */
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
  /** Default: 1 and 1, what PAPER.md says. */
  units?: Units;
  /** How much each term counts; default: `TERM_WEIGHTS`. */
  weights?: Readonly<Partial<Terms>>;
}

/** Active latents of a batch: those of text i at offsets[i] to offsets[i + 1]. */
interface Active {
  offsets: Int32Array;
  latents: Int32Array;
  z: Float64Array;
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

  /**
   * Sets s_d by least squares of m_d on a_d over the entries of tagged foundations. [paper] has none.
   * @param pre products of the texts' inputs with the encoder, [n, latents]
   */
  fitScale(texts: Judgments, pre: Numbers, bias: Numbers): void {
    if (this.options.profile === 'paper') return;
    const { a } = this.active(texts.n, pre, bias);
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

  /** a_d of texts, [n, 10]. @param pre products of their inputs with the encoder, [n, latents] */
  activations(n: number, pre: Numbers, bias: Numbers): Float64Array {
    return this.active(n, pre, bias).a;
  }

  /**
   * The terms on a batch.
   * @param pre products of the batch's inputs with the encoder, [n, latents]
   * @param pairs of L_proto
   * @param gradient to which that of the weighted sum is added
   */
  evaluate<A extends Numbers>(
    batch: AlignedTexts,
    pre: Numbers,
    rows: ChosenRows<A>,
    pairs: readonly TextPair[],
    gradient?: ChosenRows<Numbers>,
  ): Terms {
    const { n } = batch;
    const active = this.active(n, pre, rows.bias);
    const da = new Float64Array(n * K);
    const dPoles = new Float64Array(n * K);
    const terms: Terms = {
      align: this.align(batch, active.a, da),
      pol: this.pol(batch, active.poles, dPoles),
      proto: this.proto(batch, active.a, pairs, da),
      ...this.perLatent(batch, active, rows, { da, dPoles }, gradient),
    };
    return terms;
  }

  /** The weighted sum. */
  total(terms: Terms): number {
    return TERMS.reduce((sum, term) => sum + this.weights[term] * terms[term], 0);
  }

  private active(n: number, pre: Numbers, bias: Numbers): Active {
    const { map, threshold } = this.options;
    const offsets = new Int32Array(n + 1);
    const [latents, z]: [number[], number[]] = [[], []];
    const [a, poles] = [new Float64Array(n * K), new Float64Array(n * K)];
    for (let i = 0, at = 0; i < n; i++) {
      for (let f = 0; f < map.latents; f++, at++) {
        const value = pre[at] + bias[f];
        if (!(value > 0) || (threshold && value <= threshold[f])) continue;
        latents.push(f);
        z.push(value);
        for (let pole = 0; pole < K; pole++) {
          a[i * K + pole] += (map.weights[f * K + pole] * value) / this.units.z;
          poles[i * K + pole] += (map.leading[f * K + pole] * value) / this.units.z;
        }
      }
      offsets[i + 1] = latents.length;
    }
    return { offsets, latents: Int32Array.from(latents), z: Float64Array.from(z), a, poles };
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

  /** What every active latent adds: reconstruction, sparsity, L_mono; and the gradient of all terms. */
  private perLatent<A extends Numbers>(
    { n, d, input, target, frozen, largest }: AlignedTexts,
    { offsets, latents, z }: Active,
    { decoder }: ChosenRows<A>,
    { da, dPoles }: { da: Float64Array; dPoles: Float64Array },
    gradient: ChosenRows<Numbers> | undefined,
  ): Pick<Terms, 'rec' | 'sparsity' | 'mono'> {
    const { map, width } = this.options;
    const { units, weights } = this;
    let impure = 0;
    for (let i = 0; i < n; i++) if (largest[i] >= 0) impure += map.latents - this.ofDimension[largest[i]];
    const terms = { rec: 0, sparsity: 0, mono: 0 };
    const miss = new Float64Array(d);
    const recShare = 1 / (n * d * units.variance);
    const sparsityShare = 1 / (n * width * units.z);
    const monoShare = impure > 0 ? 1 / (impure * units.z ** 2) : 0;
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < d; c++) miss[c] = -target[i * d + c];
      for (let e = offsets[i]; e < offsets[i + 1]; e++)
        for (let c = 0, at = latents[e] * d; c < d; c++) miss[c] += z[e] * decoder[at++];
      for (let c = 0; c < d; c++) terms.rec += recShare * miss[c] * miss[c];
      terms.sparsity += sparsityShare * frozen[i];
      for (let e = offsets[i]; e < offsets[i + 1]; e++) {
        const f = latents[e];
        const isImpure = largest[i] >= 0 && map.dimension[f] !== largest[i];
        terms.sparsity += sparsityShare * z[e];
        if (isImpure) terms.mono += monoShare * z[e] * z[e];
        if (!gradient) continue;
        let dz = weights.sparsity * sparsityShare + (isImpure ? weights.mono * monoShare * 2 * z[e] : 0);
        for (let pole = 0; pole < K; pole++)
          dz += (map.weights[f * K + pole] * da[i * K + pole] + map.leading[f * K + pole] * dPoles[i * K + pole]) / units.z;
        let along = 0;
        for (let c = 0, at = f * d; c < d; c++) along += miss[c] * decoder[at++];
        dz += weights.rec * 2 * recShare * along;
        gradient.bias[f] += dz;
        const forDecoder = weights.rec * 2 * recShare * z[e];
        for (let c = 0, at = f * d, from = i * d; c < d; c++, at++) {
          gradient.encoder[at] += dz * input[from + c];
          gradient.decoder[at] += forDecoder * miss[c];
        }
      }
    }
    return terms;
  }
}

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
