/** @file Texts as alignment sees them: states, what the frozen latents leave to the chosen ones, and judgments. */
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import type { SaeEncoder } from '../sae/encoder.js';
import { type Codes, encoderInput } from '../sae/forward.js';
import type { Profile } from './alignment-profile.js';
import type { MoralTargets } from './moral-targets.js';

const [K, FIVE] = [POLES.length, FOUNDATIONS.length];

/** What was judged of n texts, row by row. */
export interface Judgments {
  n: number;
  /** m, [n, 10], 0 where a text has none. */
  m: Float32Array;
  /** Whether the text is tagged with the foundation, [n, 5]. */
  tagged: Uint8Array;
  /** The sample's largest dimension in L_mono, [n]; -1 where it has none. */
  largest: Int8Array;
}

/**
 * The judgments of some texts; with `from` each text has those of another.
 * The largest dimension is the first with the largest m [paper], or that of texts of one foundation with one pole above the other [ours].
 */
export function judgmentsOf(targets: MoralTargets, profile: Profile, from?: Int32Array): Judgments {
  const n = targets.length;
  const m = new Float32Array(n * K);
  const tagged = new Uint8Array(n * FIVE);
  const largest = new Int8Array(n).fill(-1);
  const source = (text: number) => (from ? from[text] : text);
  const members = FOUNDATIONS.map((_, f) => new Set(targets.texts.membersOf(f)));
  const single = new Set(targets.texts.ofOneFoundation());
  for (let text = 0; text < n; text++) {
    const own = source(text);
    for (let pole = 0; pole < K; pole++) m[text * K + pole] = targets.m[pole][own];
    for (let f = 0; f < FIVE; f++) tagged[text * FIVE + f] = Number(members[f].has(own));
    const of = m.subarray(text * K, (text + 1) * K);
    const first = of.indexOf(Math.max(...of));
    if (profile === 'paper') largest[text] = first;
    else if (single.has(own) && of[first] > of[first ^ 1]) largest[text] = first;
  }
  return { n, m, tagged, largest };
}

/** Some texts with their states, for one choice of latents. */
export interface AlignedTexts extends Judgments {
  /** Length of a state. */
  d: number;
  /** What the encoder multiplies: states minus the centre, [n, d]. */
  input: Float32Array;
  /** What the chosen latents are to give back: states minus b_dec and minus the part of all other latents, [n, d]. */
  target: Float32Array;
  /** Sum of z over all other latents, [n]. */
  frozen: Float64Array;
}

/** The texts at these positions; one may come several times. */
export function textsAt(texts: AlignedTexts, positions: Int32Array): AlignedTexts {
  const rows = <A extends Float32Array | Float64Array | Uint8Array | Int8Array>(from: A, into: A, width: number): A => {
    positions.forEach((text, i) => {
      into.set(from.subarray(text * width, (text + 1) * width), i * width);
    });
    return into;
  };
  const { d } = texts;
  const n = positions.length;
  return {
    n,
    d,
    m: rows(texts.m, new Float32Array(n * K), K),
    tagged: rows(texts.tagged, new Uint8Array(n * FIVE), FIVE),
    largest: rows(texts.largest, new Int8Array(n), 1),
    input: rows(texts.input, new Float32Array(n * d), d),
    target: rows(texts.target, new Float32Array(n * d), d),
    frozen: rows(texts.frozen, new Float64Array(n), 1),
  };
}

/** Texts that went through the whole autoencoder once. */
export interface EncodedTexts {
  n: number;
  d: number;
  sae: SparseAutoencoder;
  /** What the encoder multiplied, [n, d]. */
  input: Float32Array;
  codes: Codes;
  /** States minus their reconstruction, [n, d]. */
  residual: Float32Array;
}

/** @param x states, [n, d] */
export async function encodeTexts(encoder: SaeEncoder, x: Float32Array, n: number): Promise<EncodedTexts> {
  const { sae } = encoder;
  const { spec, weights } = sae;
  const d = spec.dIn;
  const codes = await encoder.encode(x, n);
  const residual = new Float32Array(n * d);
  const left = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    for (let c = 0; c < d; c++) left[c] = x[i * d + c] - weights.bDec[c];
    for (let e = codes.offsets[i]; e < codes.offsets[i + 1]; e++)
      for (let c = 0, at = codes.latents[e] * d; c < d; c++) left[c] -= codes.values[e] * weights.wDec[at++];
    residual.set(left, i * d);
  }
  return { n, d, sae, input: Float32Array.from(encoderInput(sae, x, n)), codes, residual };
}

/** The texts for training some latents: the part of all others is constant, and taken off here once. */
export function forLatents(
  { n, d, sae, input, codes, residual }: EncodedTexts,
  latents: Int32Array,
  judged: Judgments,
): AlignedTexts {
  const { wDec } = sae.weights;
  const chosen = new Uint8Array(sae.spec.width);
  for (const latent of latents) chosen[latent] = 1;
  const target = residual.slice();
  const frozen = new Float64Array(n);
  const left = new Float64Array(d);
  for (let i = 0; i < n; i++) {
    left.set(residual.subarray(i * d, (i + 1) * d));
    for (let e = codes.offsets[i]; e < codes.offsets[i + 1]; e++) {
      const latent = codes.latents[e];
      if (!chosen[latent]) frozen[i] += codes.values[e];
      else for (let c = 0, at = latent * d; c < d; c++) left[c] += codes.values[e] * wDec[at++];
    }
    target.set(left, i * d);
  }
  return { ...judged, d, input, target, frozen };
}
