import type { Remedy } from '../alignment/remedy.js';
import type { Arm } from '../alignment/remedy-schema.js';
import type { KeptWork } from '../artifact/kept-work.js';
import type { MatMul } from '../graph/matmul.js';
import type { Intervention } from '../model/intervention.js';
import type { LanguageModel } from '../model/language-model.js';
import type { Corpus } from '../moral/corpus.js';
import type { WorkOptions } from '../progress.js';
import type { ControlKind } from './schema.js';
import { interventionsOf, strengthFor, type Variant } from './steered-arms.js';
import type { SteeredSessions } from './steered-sessions.js';
import type { VerifiedTexts } from './verified-sets.js';
import type { VerifyOptions } from './verify-options.js';

/** What is verified, and on what. */
export interface Subjects {
  model: LanguageModel;
  remedy: Remedy;
  /** sha256 of the remedy's manifest. */
  remedySha256: string;
  template: string;
  sets: readonly VerifiedTexts[];
  /** The corpora among the sets, by their sha256. */
  corpora: ReadonlyMap<string, Corpus>;
  general: { source: string; texts: readonly string[] };
  options: VerifyOptions & WorkOptions;
  /** Where the activations of a set are kept while the work goes on. */
  activations: (name: string) => string;
  kept: KeptWork;
}

export type ControlArm = Arm & { kind: ControlKind };

/** A verification under way. */
export interface Run extends Subjects {
  steered: SteeredSessions;
  matmul: MatMul;
  controls: readonly ControlArm[];
  /** A prompt has one: it is there. */
  strengths: readonly number[];
}

/** The remedy in its chosen form. */
export interface Chosen {
  variant: Variant;
  strength: number;
}

/** An arm in a variant at a strength. */
export interface Job extends Chosen {
  arm: Arm;
}

export function interventionsOfJob(
  { remedy }: Pick<Run, 'remedy'>,
  { arm, variant }: Job,
  positions: 'all' | 'last',
): Intervention[] {
  return interventionsOf(remedy, arm, variant, positions);
}

/** The strength at which a job's arm is used. */
export function strengthOfJob({ arm, variant, strength }: Job): number {
  return strengthFor(arm, variant, strength);
}

/** What tells a job from others. */
export const nameOfJob = (job: Job | undefined) => job && [job.arm.name, job.variant, job.strength];

/** Of each kind the first so many controls, where measuring all would take long. */
export function someOfEach(controls: readonly ControlArm[], most: number): ControlArm[] {
  return kindsOf(controls).flatMap((kind) => controls.filter((arm) => arm.kind === kind).slice(0, most));
}

/** The controls' kinds, in their order. */
export function kindsOf(controls: readonly { kind: ControlKind }[]): ControlKind[] {
  return [...new Set(controls.map(({ kind }) => kind))];
}
