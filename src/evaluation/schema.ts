/** @file The shape of verify.json, version 1: what a remedy changes in what a model says, knows and holds, beside its controls. */
import { z } from 'zod';
import { ARM_KINDS, MODES, REMEDY_KINDS } from '../alignment/remedy-schema.js';
import { Figure } from '../diagnosis/schema.js';
import { SET_KINDS } from './labelled-texts.js';

/** A number with its 95% interval, paired bootstrap over texts (pairs). `value` is null where nothing could be computed, and `why` says why. */
export const Estimate = z.object({
  value: z.number().nullable(),
  ci95: z.tuple([z.number(), z.number()]).optional(),
  /** Of a difference: two-sided, twice the smaller share of bootstrap draws on the other side of 0. */
  p: z.number().optional(),
  why: z.string().optional(),
});
export type Estimate = z.infer<typeof Estimate>;

/** The same number of all controls of a kind. */
const Spread = z.object({ mean: z.number(), q025: z.number(), q975: z.number(), max: z.number() });
export type Spread = z.infer<typeof Spread>;

/** What the readout says of texts: discrimination and bias, never mixed. */
const Said = z.object({
  auc: Estimate,
  spearman: Estimate,
  /** Mean of the two classes' mean log-odds, nats. */
  bias: Estimate,
  /** Share of pairs whose good text is approved more; only of pairs. */
  pairsRight: Estimate.optional(),
});
export type Said = z.infer<typeof Said>;

const ControlKind = z.enum(ARM_KINDS).exclude(['remedy']);
export type ControlKind = z.infer<typeof ControlKind>;

/** All controls of a kind at the remedy's strength. */
const Controls = z.object({
  kind: ControlKind,
  n: z.number(),
  auc: Spread,
  bias: Spread,
  pairsRight: Spread.optional(),
  /** What the remedy's AUC must be above: of n controls the ceil(.975 (n + 1))-th smallest, at most the largest. */
  bar: z.number(),
  /** Of a kind with fewer than 20 controls: the remedy's AUC less that of the best of them, which must be above 0. */
  above: Estimate.optional(),
  /** (1 + controls whose AUC is at least the remedy's) / (1 + controls). */
  p: z.number(),
});
export type Controls = z.infer<typeof Controls>;

/** One control at the remedy's strength. */
const SaidByArm = z.object({ name: z.string(), kind: ControlKind, auc: z.number().nullable(), bias: z.number().nullable() });

const VerifiedSet = z.object({
  name: z.string(),
  kind: z.enum(SET_KINDS),
  sha256: z.string(),
  authored: z.boolean().nullable(),
  /** Whether the remedy was fitted on this data set, or on one that shares a twentieth of its texts; the texts here are then those that it was not fitted on. */
  fittedOn: z.boolean(),
  /** The same in plain words. */
  relation: z.string(),
  n: z.object({
    /** Texts that everything here is measured on, the pairs they make, and how many are good, bad and neither. */
    texts: z.number(),
    pairs: z.number().optional(),
    virtues: z.number(),
    vices: z.number(),
    neutrals: z.number(),
    /** Texts that the probe and the floors were fitted on, at least. */
    training: z.number(),
    /** Texts left out because the remedy was fitted on them, or its strength chosen. */
    seen: z.number(),
    /** Texts left out for their number. */
    beyond: z.number(),
  }),
  before: Said,
  after: Said,
  /** After less before. */
  change: Said,
  /** The remedy at every strength. */
  strengths: z.array(z.object({ strength: z.number(), auc: Estimate, spearman: Estimate, bias: Estimate, change: Estimate })),
  controls: z.array(Controls),
  arms: z.array(SaidByArm),
  /** What a linear probe of the site's last-token states tells of texts that it was not fitted on. */
  knows: z.object({ layer: z.number(), auc: Estimate, pairsRight: Estimate.optional() }),
  /**
   * Of a data set that the remedy was not fitted on: what such a probe tells of it that was fitted on the training texts of the one that it was.
   * A direction learnt there that tells nothing here cannot help here.
   */
  carried: Estimate.optional(),
  /** What can be had without touching the model, fitted on the same texts as the probe. */
  floors: z.object({ bagOfWords: Estimate, recalibrated: Estimate }),
  /** AUC of the steered readout less that of each floor. */
  aboveFloors: z.object({ bagOfWords: Estimate, recalibrated: Estimate }),
  /** AUC: knows less says before. */
  gap: Estimate,
  /** (says after - says before) / (knows - says before), by AUC; empty where the interval of the gap holds 0. */
  gapClosed: Estimate,
  outcome: z.enum([
    'better',
    'not above controls',
    'not above floors',
    'no floors',
    'bias only',
    'worse',
    'nothing',
    'no controls',
    'empty',
  ]),
  /** The outcome in plain words. */
  told: z.string(),
});
export type VerifiedSet = z.infer<typeof VerifiedSet>;
export type Outcome = VerifiedSet['outcome'];

const Choice = z.object({
  mode: z.enum(MODES).nullable(),
  /** The steered sites, by name. */
  sites: z.array(z.string()),
  strength: z.number(),
  /** AUC on the validation texts. */
  auc: z.number().nullable(),
  /** KL a token on general text, active at every position; only where it is limited. */
  kl: z.number().nullable().optional(),
});
export type Choice = z.infer<typeof Choice>;

const Damage = z.object({
  /** What was read. */
  source: z.string(),
  texts: z.number(),
  /** Tokens that are predicted where the remedy is active: all but the first two of each text. */
  tokens: z.number(),
  before: z.object({ nats: Estimate, perplexity: z.number() }),
  /** KL(untouched || steered), and the rise of the mean negative log-likelihood; nats a token. */
  remedy: z.array(z.object({ strength: z.number(), kl: Estimate, rise: Estimate, perplexity: z.number().nullable() })),
  /** At the remedy's strength. */
  controls: z.array(z.object({ kind: ControlKind, n: z.number(), kl: Spread })),
  arms: z.array(z.object({ name: z.string(), kind: ControlKind, kl: z.number().nullable(), perplexity: z.number().nullable() })),
});
export type Damage = z.infer<typeof Damage>;

/** One headline of the diagnosis before and after, and of the controls. */
const Rediagnosed = z.object({ before: Figure, after: Figure, controls: Spread.nullable() });
export type Rediagnosed = z.infer<typeof Rediagnosed>;

const Rediagnosis = z.object({
  /** The corpus, and how many of its held-out texts. */
  on: z.string(),
  texts: z.number(),
  strength: z.number(),
  /** How many controls of each kind were measured. */
  controls: z.array(z.object({ kind: ControlKind, n: z.number() })),
  permutations: z.number(),
  layers: z.array(
    z.object({
      layer: z.number(),
      pooling: z.enum(['last', 'content']),
      categorical: Rediagnosed,
      gradient: Rediagnosed,
      structural: Rediagnosed,
      dimensional: Rediagnosed,
    }),
  ),
});
export type Rediagnosis = z.infer<typeof Rediagnosis>;

/**
 * `repairs`: better than every kind of control and both floors on another data set than the one fitted on. and worse on none. `mixed`: worse on another. `fits`: on that one alone.
 * `recalibrates`: better than controls, not than both floors. `like its controls`, `unproven` (no controls, or no floors), `shifts` (the bias alone), `worse`,
 * `nothing`.
 */
export const VERDICTS = [
  'repairs',
  'mixed',
  'fits',
  'recalibrates',
  'like its controls',
  'unproven',
  'shifts',
  'worse',
  'nothing',
] as const;

export const Verification = z.object({
  version: z.literal(1),
  model: z.object({ name: z.string(), sha256: z.string(), precision: z.string(), layers: z.number() }),
  remedy: z.object({
    kind: z.enum(REMEDY_KINDS),
    profile: z.string(),
    sha256: z.string(),
    fittedOn: z.object({ name: z.string(), sha256: z.string(), pairs: z.boolean() }).nullable(),
    sites: z.array(z.object({ site: z.string(), layer: z.number() })),
    /** Controls of each kind. */
    controls: z.array(z.object({ kind: ControlKind, n: z.number() })),
    summary: z.string(),
  }),
  template: z.string(),
  /** Tokens that are changed while the readout is taken. */
  positions: z.enum(['all', 'last']),
  words: z.array(z.tuple([z.string(), z.string()])),
  seed: z.number(),
  bootstraps: z.number(),
  /** How mode, sites and strength were chosen: by AUC on validation texts. */
  choice: z.object({
    on: z.string(),
    texts: z.number(),
    before: z.number().nullable(),
    /** Largest KL that was allowed; null: any. */
    maxDamage: z.number().nullable(),
    chosen: Choice,
    candidates: z.array(Choice),
    /** At every strength, on the same texts, in the chosen mode and sites: the remedy, and the spread of its controls. */
    curve: z.array(
      z.object({
        strength: z.number(),
        auc: z.number().nullable(),
        controls: z.array(z.object({ kind: ControlKind, auc: Spread })),
      }),
    ),
  }),
  sets: z.array(VerifiedSet).min(1),
  damage: Damage,
  rediagnosis: Rediagnosis.nullable(),
  verdict: z.object({ outcome: z.enum(VERDICTS), text: z.string() }),
  notes: z.array(z.string()),
});
export type Verification = z.infer<typeof Verification>;
