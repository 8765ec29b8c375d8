import { MoralscopeError } from '../errors.js';
import type { GraphTensor } from '../graph/session.js';
import { parseSite } from './site.js';

/**
 * Which tokens of a text are changed: all of them, those of `prefill`, those of `step`, or the last one of each text in a run. A text's
 * first token never is, nor is any other sink.
 */
export const POSITIONS = ['all', 'prompt', 'generated', 'last'] as const;
export type Positions = (typeof POSITIONS)[number];

/** Some latents of a sparse autoencoder: z = max(0, pre) where pre = (x - centre) wEnc + bEnc is above the threshold. */
export interface Latents {
  /** [hidden, latents] */
  readonly wEnc: Float32Array;
  /** [latents] */
  readonly bEnc: Float32Array;
  /** [latents]; default: 0 (ReLU). */
  readonly threshold?: Float32Array | undefined;
  /** [latents, hidden] */
  readonly wDec: Float32Array;
}

/** What becomes of a state x [hidden] at strength s (docs/paper.md section 8). */
export type Change =
  /** x' = x + s (z wDec + bias - x): the state moves toward what an autoencoder makes of it. */
  | {
      readonly mode: 'blend';
      /** Subtracted before the encoder, [hidden]. */
      readonly centre: Float32Array;
      readonly latents: Latents;
      /** Added after the decoder, [hidden]. */
      readonly bias: Float32Array;
    }
  /** x' = x + s (z_after wDec_after - z_before wDec_before): only what was changed in some latents. */
  | {
      readonly mode: 'delta';
      /** Subtracted before both encoders, [hidden]. */
      readonly centre: Float32Array;
      readonly before: Latents;
      /** As many as before. */
      readonly after: Latents;
    }
  /** x' = x + s direction */
  | { readonly mode: 'add' /** [hidden] */; readonly direction: Float32Array }
  /** x' = x + s gate(x w + b) u: amplify with a linear gate, ConVA with a ReLU. */
  | {
      readonly mode: 'project';
      /** [hidden] */
      readonly w: Float32Array;
      readonly b: number;
      /** [hidden] */
      readonly u: Float32Array;
      readonly gate: 'linear' | 'relu';
    };

export type Mode = Change['mode'];

/** The strengths that make sense of each mode. */
export const STRENGTHS: Readonly<Record<Mode, readonly [least: number, most: number]>> = {
  blend: [0, 1],
  delta: [-16, 16],
  add: [-16, 16],
  project: [-16, 16],
};

/** A change of the states at one site, as plain data: it can be sent to another thread. */
export interface Intervention {
  /** `blocks.{L}.hook_resid_post` and the like. */
  readonly site: string;
  readonly change: Change;
  readonly positions: Positions;
  /** States whose norm is above it are sinks and stay as they are (`SinkCalibration`); Infinity: no state is for its norm. */
  readonly sinkThreshold: number;
}

/**
 * What of an intervention is compiled into a graph. Its tensors, the number of its latents, its positions and its strength are inputs
 * of the graph, so that one session serves every intervention of the same shape.
 */
export interface InterventionShape {
  readonly site: string;
  readonly mode: Mode;
  /** Whether some latents have a threshold (blend, delta). */
  readonly thresholds: boolean;
  /** Whether the projection is cut off at 0 (project). */
  readonly gate: 'linear' | 'relu';
}

export function shapeOf({ site, change }: Intervention): InterventionShape {
  const { mode } = change;
  const thresholds = latentsOf(change).some(([, { threshold }]) => threshold !== undefined);
  return { site, mode, thresholds, gate: mode === 'project' ? change.gate : 'linear' };
}

/** Whether a graph compiled for one list serves the other. */
export function sameShapes(a: readonly InterventionShape[], b: readonly InterventionShape[]): boolean {
  const same = (x: InterventionShape, y: InterventionShape) =>
    x.site === y.site && x.mode === y.mode && x.thresholds === y.thresholds && x.gate === y.gate;
  return a.length === b.length && a.every((shape, i) => same(shape, b[i]));
}

/**
 * The sites are the model's, and each has one change.
 * @throws MoralscopeError `misuse`
 */
export function checkShapes(shapes: readonly InterventionShape[], layers: number): void {
  for (const [i, { site, mode }] of shapes.entries()) {
    parseSite(site, layers);
    if (!Object.hasOwn(STRENGTHS, mode))
      throw new MoralscopeError(
        'misuse',
        `The intervention at ${site} is of mode ${mode}.`,
        `Use ${Object.keys(STRENGTHS).join(', ')}.`,
      );
    if (shapes.findIndex((other) => other.site === site) < i)
      throw new MoralscopeError('misuse', `There are two interventions at ${site}.`, 'Keep one of them.');
  }
}

/**
 * @param strength of this intervention
 * @throws MoralscopeError `misuse` if it is not finite, or outside `STRENGTHS`
 */
export function requireStrength(strength: number, mode: Mode): void {
  const [least, most] = STRENGTHS[mode];
  if (!(strength >= least && strength <= most))
    throw new MoralscopeError('misuse', `A strength of ${strength} for ${mode}.`, `Choose one from ${least} to ${most}.`);
}

/** Looking at every number takes longer than a step of a small model: once is enough. */
const known = new WeakMap<Intervention, { hidden: number; tensors: Readonly<Record<string, GraphTensor>> }>();

/**
 * The numbers that an intervention's graph takes, by name.
 * @param hidden width of the model's states
 * @throws MoralscopeError `misuse` naming the tensor that has another length than its shape, or numbers that are not finite
 */
export function interventionTensors(intervention: Intervention, hidden: number): Readonly<Record<string, GraphTensor>> {
  const found = known.get(intervention);
  if (found?.hidden === hidden) return found.tensors;
  const tensors = namedTensors(intervention, hidden);
  checkIntervention(intervention, tensors);
  known.set(intervention, { hidden, tensors });
  return tensors;
}

/** An intervention of this shape for runs in which it has no strength anywhere: it costs next to nothing. */
export function idleIntervention({ site, mode, thresholds, gate }: InterventionShape, hidden: number): Intervention {
  const none = () => new Float32Array(hidden);
  const latents: Latents = {
    wEnc: none(),
    bEnc: new Float32Array(1),
    wDec: none(),
    ...(thresholds && { threshold: new Float32Array(1) }),
  };
  const changes: Record<Mode, Change> = {
    blend: { mode: 'blend', centre: none(), latents, bias: none() },
    delta: { mode: 'delta', centre: none(), before: latents, after: latents },
    add: { mode: 'add', direction: none() },
    project: { mode: 'project', w: none(), b: 0, u: none(), gate },
  };
  return { site, change: changes[mode], positions: 'all', sinkThreshold: Number.POSITIVE_INFINITY };
}

function latentsOf(change: Change): [name: string, latents: Latents][] {
  if (change.mode === 'blend') return [['latents', change.latents]];
  return change.mode === 'delta'
    ? [
        ['before', change.before],
        ['after', change.after],
      ]
    : [];
}

function namedTensors({ change, sinkThreshold }: Intervention, hidden: number): Record<string, GraphTensor> {
  const tensors: Record<string, GraphTensor> = { sink_threshold: { data: Float32Array.of(sinkThreshold), shape: [1] } };
  const vector = (name: string, data: Float32Array) => {
    tensors[name] = { data, shape: [hidden] };
  };
  if (change.mode === 'blend' || change.mode === 'delta') vector('centre', change.centre);
  if (change.mode === 'blend') vector('bias', change.bias);
  if (change.mode === 'add') vector('direction', change.direction);
  if (change.mode === 'project') {
    tensors.w = { data: change.w, shape: [hidden, 1] };
    tensors.b = { data: Float32Array.of(change.b), shape: [1] };
    vector('u', change.u);
  }
  const parts = latentsOf(change);
  const anyThreshold = parts.some(([, { threshold }]) => threshold !== undefined);
  for (const [name, { wEnc, bEnc, threshold, wDec }] of parts) {
    const count = parts[0][1].bEnc.length;
    tensors[`${name}.wEnc`] = { data: wEnc, shape: [hidden, count] };
    tensors[`${name}.bEnc`] = { data: bEnc, shape: [count] };
    if (anyThreshold) tensors[`${name}.threshold`] = { data: threshold ?? new Float32Array(count), shape: [count] };
    tensors[`${name}.wDec`] = { data: wDec, shape: [count, hidden] };
  }
  return tensors;
}

function checkIntervention({ site, positions, sinkThreshold }: Intervention, tensors: Record<string, GraphTensor>): void {
  const where = `The intervention at ${site}`;
  const wrong = (what: string, fix: string) => new MoralscopeError('misuse', `${where} ${what}.`, fix);
  if (!POSITIONS.includes(positions)) throw wrong(`is for the positions ${positions}`, `Choose one of ${POSITIONS.join(', ')}.`);
  if (!(sinkThreshold > 0)) throw wrong(`has a sink threshold of ${sinkThreshold}`, 'Give a norm above 0, or Infinity for none.');
  for (const [name, { data, shape }] of Object.entries(tensors)) {
    const numbers = shape.reduce((product, length) => product * length, 1);
    if (!(data instanceof Float32Array) || data.length !== numbers || numbers === 0)
      throw wrong(
        `has ${data.length} numbers in ${name}, which is [${shape.join(', ')}] in this model`,
        'Give it a remedy made for this model.',
      );
    if (name !== 'sink_threshold' && !data.every(Number.isFinite))
      throw wrong(`has numbers in ${name} that are not finite`, 'Make the remedy again.');
  }
}
