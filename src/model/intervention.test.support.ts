import { fileURLToPath } from 'node:url';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import type { Random } from '../random.js';
import { type CompileOptions, compileDecoder } from './compile.js';
import { DecoderSession } from './decoder-session.js';
import { DecodingSession } from './decoding-session.js';
import { mapDecoder } from './family.js';
import type { Change, Intervention, Latents } from './intervention.js';
import type { DecoderSpec } from './spec.js';

/** @file Interventions with random numbers, and what they do, in double precision. For tests, not part of the package. */

export const KINDS = [
  'blend',
  'blend with thresholds',
  'delta',
  'delta with thresholds',
  'add',
  'project',
  'project with a ReLU',
] as const;
export type Kind = (typeof KINDS)[number];

/** A tiny random model of a family; its fixture has no tokenizer. */
export class TinyModel {
  private constructor(
    readonly spec: DecoderSpec,
    private readonly checkpoint: Checkpoint,
  ) {}

  static async open(family: string): Promise<TinyModel> {
    const checkpoint = await openCheckpoint(fileURLToPath(new URL(`../../fixtures/tiny-${family}`, import.meta.url)));
    return new TinyModel(mapDecoder(checkpoint).spec, checkpoint);
  }

  async session(options: CompileOptions): Promise<DecoderSession> {
    return DecoderSession.open(await compileDecoder(this.checkpoint, options), { threads: 1 });
  }

  async decoding(options: CompileOptions): Promise<DecodingSession> {
    return DecodingSession.open(await compileDecoder(this.checkpoint, { ...options, cache: true }), { threads: 1 });
  }

  close(): Promise<void> {
    return this.checkpoint.close();
  }
}

/**
 * A change of about the size of the states.
 * @param options.size standard deviation of the states' elements, and their mean
 */
export function randomChange(
  kind: Kind,
  hidden: number,
  random: Random,
  { latents: count = 9, size = 1, mean = new Float32Array(hidden) } = {},
): Change {
  const numbers = (n: number, deviation: number) => Float32Array.from({ length: n }, () => deviation * random.normal());
  const thresholds = kind.endsWith('thresholds');
  const latents = (): Latents => ({
    wEnc: numbers(hidden * count, hidden ** -0.5 / size),
    bEnc: numbers(count, 0.3),
    wDec: numbers(count * hidden, count ** -0.5 * size),
    ...(thresholds && { threshold: numbers(count, 0.5).map(Math.abs) }),
  });
  const near = (centre: Float32Array) => numbers(hidden, 0.3 * size).map((value, i) => centre[i] + value);
  switch (kind) {
    case 'blend':
    case 'blend with thresholds':
      return { mode: 'blend', centre: near(mean), latents: latents(), bias: near(mean) };
    case 'delta':
    case 'delta with thresholds':
      return { mode: 'delta', centre: near(mean), before: latents(), after: latents() };
    case 'add':
      return { mode: 'add', direction: numbers(hidden, size) };
    default: {
      const w = numbers(hidden, hidden ** -0.5 / size);
      const b = 1 - w.reduce((sum, value, i) => sum + value * mean[i], 0);
      return { mode: 'project', w, b, u: numbers(hidden, size), gate: kind === 'project' ? 'linear' : 'relu' };
    }
  }
}

/** f(x), where x + s f(x) is the state at strength s: the formulas of docs/paper.md section 8. */
export function differenceAt(x: Float64Array, change: Change): Float64Array {
  switch (change.mode) {
    case 'blend': {
      const made = decoded(x, change.centre, change.latents);
      return x.map((value, i) => made[i] + change.bias[i] - value);
    }
    case 'delta': {
      const [after, before] = [change.after, change.before].map((latents) => decoded(x, change.centre, latents));
      return after.map((value, i) => value - before[i]);
    }
    case 'add':
      return Float64Array.from(change.direction);
    case 'project': {
      const projection = x.reduce((sum, value, i) => sum + value * change.w[i], change.b);
      const gated = change.gate === 'relu' ? Math.max(0, projection) : projection;
      return Float64Array.from(change.u, (value) => gated * value);
    }
  }
}

/** sum of z_f d_f over the latents */
function decoded(x: Float64Array, centre: Float32Array, { wEnc, bEnc, threshold, wDec }: Latents): Float64Array {
  const [hidden, count] = [x.length, bEnc.length];
  const out = new Float64Array(hidden);
  for (let f = 0; f < count; f++) {
    let pre = bEnc[f];
    for (let i = 0; i < hidden; i++) pre += (x[i] - centre[i]) * wEnc[i * count + f];
    if (pre > Math.max(0, threshold?.[f] ?? 0)) for (let i = 0; i < hidden; i++) out[i] += pre * wDec[f * hidden + i];
  }
  return out;
}

/**
 * States [rows, hidden] after an intervention.
 * @param strengthOf strength for a row; 0 for a text's first token
 */
export function steeredStates(
  states: Float32Array,
  hidden: number,
  { change, sinkThreshold }: Pick<Intervention, 'change' | 'sinkThreshold'>,
  strengthOf: (row: number) => number,
): Float64Array {
  const out = Float64Array.from(states);
  for (let row = 0; row < states.length / hidden; row++) {
    const x = Float64Array.from(states.subarray(row * hidden, (row + 1) * hidden));
    if (Math.hypot(...x) > sinkThreshold) continue;
    const difference = differenceAt(x, change);
    for (let i = 0; i < hidden; i++) out[row * hidden + i] += strengthOf(row) * difference[i];
  }
  return out;
}

/** A threshold amid the widest gap between norms of states [rows, hidden] that a tenth to a half of them are above. */
export function thresholdAmong(states: Float32Array, hidden: number): number {
  const rows = states.length / hidden;
  const norms = Array.from({ length: rows }, (_, row) => Math.hypot(...states.subarray(row * hidden, (row + 1) * hidden)));
  norms.sort((a, b) => b - a);
  let best = Math.ceil(rows / 10);
  for (let above = best; above <= rows / 2; above++)
    if (norms[above - 1] - norms[above] > norms[best - 1] - norms[best]) best = above;
  return (norms[best - 1] + norms[best]) / 2;
}

/** Worst |found - expected| / |expected - mean of expected| of the rows [rows, width]. */
export function centredError(found: ArrayLike<number>, expected: ArrayLike<number>, width: number): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  const rows = expected.length / width;
  const mean = new Float64Array(width);
  for (let i = 0; i < expected.length; i++) mean[i % width] += expected[i] / rows;
  let worst = 0;
  for (let row = 0; row < rows; row++) {
    let [error, size] = [0, 0];
    for (let i = 0; i < width; i++) {
      error += (found[row * width + i] - expected[row * width + i]) ** 2;
      size += (expected[row * width + i] - mean[i]) ** 2;
    }
    if (!Number.isFinite(error)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, Math.sqrt(error / size));
  }
  return worst;
}
