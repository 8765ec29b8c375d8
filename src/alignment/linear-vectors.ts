/** @file The vectors of each linear kind at one site, and those of its shuffled controls (docs/paper.md section 8). */
import { polarityLabels } from '../diagnosis/readout.js';
import { MoralscopeError } from '../errors.js';
import type { MatMul } from '../graph/matmul.js';
import type { Change } from '../model/intervention.js';
import { auc } from '../statistics/ranks.js';
import { summariseNull } from '../statistics/resampling.js';
import type { Contrast, Labelling } from './contrast.js';
import {
  calibrate,
  deviation,
  fitLinear,
  type LinearFit,
  location,
  pairedComponent,
  products,
  type SiteStates,
} from './linear-fit.js';
import type { LinearFit as FitRecord, RemedyKind } from './remedy-schema.js';

export type LinearKind = Exclude<RemedyKind, 'sae' | 'prompt'>;

/** Probability of virtue that ConVA brings states to, unless asked otherwise. */
export const TARGET = 0.9;

export interface LinearSite {
  change: Change;
  /** The same fitted to exchanged judgments. */
  shuffled: Change[];
  fit: FitRecord;
  /** Of the true labelling: a linear probe, and the difference of means, [d]. */
  probe: Float64Array;
  difference: Float64Array;
}

export interface LinearSettings {
  weigh?: boolean | undefined;
  target?: number | undefined;
}

/**
 * - `caa`: x + s u, u = mean of good texts - mean of bad ones: strength 1 adds the whole difference.
 * - `pca`: x + s u, u the first component of paired differences, as long as the states' standard deviation along it.
 * - `amplify`: x + s ((x - mu).w / sigma) u, w a ridge probe, sigma its standard deviation, u the difference of means, as long as the
 *   states' root mean square distance from their mean mu.
 * - `conva`: x + s max(0, (logit(P0) - w.x - b) / |w|^2) w, the smallest step to P(good) = P0 by a calibrated ridge probe.
 *
 * A shuffled control pushes as far as the remedy does: its vector is as long (caa, pca, amplify), or its steps from the training states are
 * on average (conva).
 * @throws MoralscopeError `bad-data` where the states do not vary, good and bad are alike, there are no pairs (pca), or the probe fails on
 * the validation texts (conva)
 */
export async function linearSite(
  kind: LinearKind,
  states: SiteStates,
  contrast: Contrast,
  exchanged: readonly Labelling[],
  settings: LinearSettings,
  matmul: MatMul,
): Promise<LinearSite> {
  const { d, train, test } = states;
  const { split, observed } = contrast;
  const { mean, spread } = location(states);
  const labellings = [observed, ...exchanged];
  const fits = await fitLinear(states, contrast, labellings, settings, matmul);
  const [own] = fits;
  const differenceNorm = Math.hypot(...own.difference);
  if (!(spread > 0 && differenceNorm > 0 && own.sigma > 0))
    throw new MoralscopeError(
      'bad-data',
      'The states of good and bad texts are all alike at a layer.',
      'Choose another layer, or other texts.',
    );
  const record: FitRecord = {
    train: split.train.length,
    validation: split.validation.length,
    lambda: own.lambda,
    validationAuc: Number.isNaN(own.validationAuc) ? null : own.validationAuc,
    spread,
    meanDifference: differenceNorm,
    norm: Number.NaN,
    read: { auc: null, shuffled: null },
  };
  const made = async (): Promise<Change[]> => {
    switch (kind) {
      case 'caa':
        return fits.map(({ difference }) => ({ mode: 'add', direction: ofLength(difference, differenceNorm) }));
      case 'amplify':
        return fits.map((fit) => amplify(fit, mean, spread));
      case 'conva':
        return conva(
          fits,
          states,
          polarityLabels(Float32Array.from(split.validation, (text) => observed.signed[text])),
          settings.target,
        );
      case 'pca': {
        const position = new Map(Array.from(split.train, (text, i) => [text, i]));
        const components = [];
        for (const labelling of labellings) {
          const pairs = labelling.pairs(split.train).map(([good, bad]) => [position.get(good)!, position.get(bad)!] as const);
          if (pairs.length < 2)
            throw new MoralscopeError(
              'bad-data',
              `The training texts give ${pairs.length} pairs of a good and a bad text of one foundation.`,
              'Give a larger corpus, or --pairs.',
            );
          components.push({ ...(await pairedComponent(train, d, pairs, matmul)), pairs: pairs.length });
        }
        Object.assign(record, { pairs: components[0].pairs, explained: components[0].explained });
        const norm = deviation(products(train, components[0].direction));
        return components.map(({ direction }) => ({ mode: 'add', direction: ofLength(direction, norm) }));
      }
    }
  };
  const [change, ...shuffled] = await made();
  record.norm = Math.hypot(...pushedAlong(change));
  const labels = polarityLabels(Float32Array.from(split.test, (text) => observed.signed[text]));
  const [readAuc, ...shuffledAucs] = [change, ...shuffled].map((one) => auc(products(test, readBy(one)), labels));
  record.read = { auc: Number.isNaN(readAuc) ? null : readAuc, shuffled: summariseNull(shuffledAucs) ?? null };
  return { change, shuffled, fit: record, probe: own.w, difference: own.difference };
}

/** What a linear change adds to a state, up to its factor. */
export function pushedAlong(change: Change): Float32Array {
  if (change.mode === 'add') return change.direction;
  if (change.mode === 'project') return change.u;
  throw new RangeError(`${change.mode} is not linear`);
}

/** What a linear change reads of a state, good texts above bad ones; where it reads nothing, what it pushes along. */
export function readBy(change: Change): Float32Array {
  return change.mode === 'project' && change.gate === 'linear' ? change.w : pushedAlong(change);
}

function amplify({ difference, w, sigma }: LinearFit, mean: Float64Array, spread: number): Change {
  const scaled = Float32Array.from(w, (value) => value / sigma);
  // About mu with the rounded w: the constants of a state are a thousand times its signal.
  const b = -scaled.reduce((sum, value, c) => sum + value * mean[c], 0);
  return { mode: 'project', w: scaled, b, u: ofLength(difference, spread), gate: 'linear' };
}

/**
 * By the probe P = logistic(slope z + offset) of each labelling, z its standardised score; slope and offset are those of the true one.
 * A unit of z is another distance along each probe, so what the others push along is scaled: they take steps as long as the first does.
 */
function conva(
  fits: readonly LinearFit[],
  { train, validation }: SiteStates,
  labels: Int8Array,
  target: number = TARGET,
): Change[] {
  const standard = fits.map(({ w, sigma }) => {
    const scores = products(train, w);
    return { mean: scores.reduce((sum, score) => sum + score, 0) / scores.length, sigma };
  });
  const z = products(validation, fits[0].w).map((score) => (score - standard[0].mean) / standard[0].sigma);
  const { slope, offset } = calibrate(z, labels);
  if (!(slope > 0))
    throw new MoralscopeError(
      'bad-data',
      'On the validation texts the probe does not tell good from bad, so no step leads to a probability.',
      'Choose another layer, or give more texts.',
    );
  const changes = fits.map(({ w }, j) => {
    const { mean, sigma } = standard[j];
    const probe = Float64Array.from(w, (value) => (slope * value) / sigma);
    const b = offset - (slope * mean) / sigma;
    const square = probe.reduce((sum, value) => sum + value * value, 0);
    return {
      mode: 'project',
      w: Float32Array.from(probe, (value) => -value / square),
      b: (Math.log(target / (1 - target)) - b) / square,
      u: Float32Array.from(probe),
      gate: 'relu',
    } satisfies Change;
  });
  const [own, ...others] = changes;
  const wanted = meanStep(own, train);
  return [
    own,
    ...others.map((other) => {
      const length = meanStep(other, train);
      return length > 0 ? { ...other, u: other.u.map((value) => (value * wanted) / length) } : other;
    }),
  ];
}

/** Mean length of the steps that a change behind a ReLU takes from states x at strength 1. */
function meanStep({ w, b, u }: Change & { mode: 'project' }, x: Float32Array): number {
  const gates = products(x, w).map((product) => Math.max(0, product + b));
  return (Math.hypot(...u) * gates.reduce((sum, gate) => sum + gate, 0)) / gates.length;
}

function ofLength(vector: ArrayLike<number>, length: number): Float32Array {
  const norm = Math.hypot(...Array.from(vector));
  return Float32Array.from(vector, (value) => (value * length) / norm);
}
