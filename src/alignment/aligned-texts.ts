/** @file Texts as alignment sees them: states, what the frozen latents leave to the chosen ones, and judgments. */
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
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
