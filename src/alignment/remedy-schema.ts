/** @file The shape of remedy.json, version 1: what a remedy is, what it was made from, and what held-out texts say of it. */
import { z } from 'zod';
import type { Mode } from '../model/intervention.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';

/** Ways to make a remedy (docs/paper.md sections 7 and 8); all but `sae` and `prompt` are one vector, or two, a site. */
export const REMEDY_KINDS = ['sae', 'amplify', 'caa', 'pca', 'conva', 'prompt'] as const;
export type RemedyKind = (typeof REMEDY_KINDS)[number];

/** How a state is changed. */
export const MODES = ['blend', 'delta', 'add', 'project'] as const satisfies readonly Mode[];

/** What a project's product goes through. */
export const GATES = ['linear', 'relu'] as const;

/**
 * What an arm is. `remedy`: the thing itself. `unaligned`: the same autoencoder before alignment. `shuffled`: fitted to exchanged judgments.
 * `relabelled`: the remedy's own latents, trained on exchanged judgments. `random`: a random direction of the same norm. `neutral`: a prompt
 * of as many tokens that says nothing of morals.
 */
export const ARM_KINDS = ['remedy', 'unaligned', 'shuffled', 'relabelled', 'random', 'neutral'] as const;

/** The arm that every remedy has. */
export const REMEDY_ARM = 'remedy';

/** The same measure on the states as they are and as the remedy changes them; `n` texts, or pairs. */
const BeforeAfter = z.object({ n: z.number(), before: z.number().nullable(), after: z.number().nullable() });
export type BeforeAfter = z.infer<typeof BeforeAfter>;

/** What texts that nothing was fitted on say, the change applied to their states at its own site. */
const Evaluation = z.object({
  /** Which texts: the corpus's test texts, or unseen pairs. */
  on: z.string(),
  /** Texts, and those judged good and bad among them. */
  texts: z.number(),
  virtues: z.number(),
  vices: z.number(),
  /** Of the change that `after` stands for. */
  strength: z.number(),
  mode: z.enum(MODES),
  /** AUC of virtue against vice by a linear probe that was fitted on the training texts' states, as they are. */
  probe: BeforeAfter,
  /** The same along the difference of the training texts' means. */
  alongMeans: BeforeAfter,
  /** Pairs whose good text scores higher along the difference of means; only where pairs were given. */
  pairsRight: BeforeAfter.optional(),
  /** Of each pole: Spearman of cos(state, prototype) with m (docs/paper.md section 3.2, neutrals included), and of what the remedy itself reads with m. */
  perPole: z.partialRecord(z.enum(POLES), BeforeAfter.extend({ read: z.number().nullable().optional() })),
  /** Cosine of opposed prototypes, by foundation; `n` texts of it. */
  opposition: z.partialRecord(z.enum(FOUNDATIONS), BeforeAfter),
  /** Mean length of the change at that strength, and of the centred states. */
  changeNorm: z.number(),
  stateNorm: z.number(),
});
export type Evaluation = z.infer<typeof Evaluation>;

/** A latent that was aligned: for which pole, its correlation there, and why it was chosen. */
const AlignedFeature = z.object({
  latent: z.number().int().nonnegative(),
  pole: z.enum(POLES),
  r: z.number(),
  reason: z.string(),
});

/** How a linear remedy came about. */
const LinearFit = z.object({
  /** Texts it was fitted on, and those that chose the penalty. */
  train: z.number(),
  validation: z.number(),
  /** Pairs of training texts, where it takes pairs. */
  pairs: z.number().optional(),
  /** Penalty of the ridge probe, and its AUC on the validation texts. */
  lambda: z.number().optional(),
  validationAuc: z.number().nullable().optional(),
  /** Share of the paired differences' squares along the component. */
  explained: z.number().optional(),
  /** Root mean square distance of the training states from their mean. */
  spread: z.number(),
  /** Length of the difference of means, and of the vector that is added. */
  meanDifference: z.number(),
  norm: z.number(),
  /** AUC of virtue against vice on the test texts by what the remedy reads of a state (or pushes along, where it reads nothing), and by what its shuffled fits read. */
  read: z.object({
    auc: z.number().nullable(),
    shuffled: z.object({ mean: z.number(), q025: z.number(), q975: z.number() }).nullable(),
  }),
});
export type LinearFit = z.infer<typeof LinearFit>;

/** Unexplained variance and active latents a text. */
const Fidelity = z.object({ fvu: z.number(), l0: z.number() });
/** Of a kind of control fits. */
const Spread = z.object({ mean: z.number(), q025: z.number(), q975: z.number() });
/** A figure of the remedy and the same of its control fits. */
const BesideControls = z.object({
  before: z.number().nullable(),
  after: z.number().nullable(),
  shuffled: Spread.nullable(),
  relabelled: Spread.nullable(),
});
export type BesideControls = z.infer<typeof BesideControls>;

/** How an autoencoder was aligned; all figures are of the test texts, in the pooling that was aligned on. */
const SaeAlignment = z.object({
  pooling: z.string(),
  /** Texts by part. */
  texts: z.object({ train: z.number(), validation: z.number(), test: z.number() }),
  /** As the file has it; with a threshold a latent in place of competition; after alignment. */
  fidelity: z.object({ original: Fidelity, converted: Fidelity, aligned: Fidelity }),
  /** How thresholds were fitted, where it competed: each latent is active on as many of these states as chose it. */
  thresholds: z.object({ on: z.string(), states: z.number(), neverChosen: z.number() }).nullable(),
  settings: z.object({
    epochs: z.number(),
    patience: z.number(),
    batch: z.number(),
    learningRate: z.number(),
    weightDecay: z.number(),
  }),
  /** What z and squared errors are divided by in the loss. */
  units: z.object({ z: z.number(), variance: z.number() }),
  /** Of the kept parameters; 0: training found nothing better than the start. */
  bestEpoch: z.number(),
  /** Spearman of a_d with m, by pole and on average; `rise` with its interval over texts, and that of the control fits: shuffled ones choose other latents, so what they reach says nothing of training, but how far they rise does. */
  activation: z.object({
    perPole: z.partialRecord(z.enum(POLES), BeforeAfter),
    rise: z.object({
      value: z.number().nullable(),
      ci95: z.tuple([z.number(), z.number()]).optional(),
      shuffled: Spread.nullable(),
      relabelled: Spread.nullable(),
    }),
  }),
  /** Of the remedy and of the control fits: mean Spearman of a_d (each fit's own), mean cosine of opposed prototypes, AUC of the probe, AUC along the difference of means, length of the change. */
  beside: z.object({
    activation: BesideControls,
    opposition: BesideControls,
    probe: BesideControls,
    alongMeans: BesideControls,
    changeNorm: BesideControls,
  }),
});

const RemedySite = z.object({
  /** `blocks.{L}.hook_resid_post` and the like. */
  site: z.string(),
  layer: z.number().int().nonnegative(),
  /** States longer than this are sinks and stay as they are. */
  sinkThreshold: z.number().positive(),
  /** Modes of the remedy itself, the usual one first. */
  modes: z.array(z.enum(MODES)).min(1),
  /** Of the mode `project`. */
  gate: z.enum(GATES).optional(),
  /** Of the autoencoder, by kind `sae`: its folder in the directory, and the latents that were aligned, in the order of the tensors' rows. */
  sae: z
    .object({ folder: z.string().regex(/^(?!\/)(?!.*\.\.)[\w./-]+$/), architecture: z.string(), width: z.number() })
    .optional(),
  features: z.array(AlignedFeature).optional(),
  alignment: SaeAlignment.optional(),
  fit: LinearFit.optional(),
  /** Null where there was nothing to evaluate on. */
  evaluation: Evaluation.nullable(),
  /** By name, e.g. `loss`, `align`, `validation`: one value an epoch. */
  curves: z.record(z.string(), z.array(z.number().nullable())).optional(),
});
export type RemedySite = z.infer<typeof RemedySite>;

const Arm = z.object({
  name: z.string(),
  kind: z.enum(ARM_KINDS),
  /** What it can do, the usual one first; none for a prompt. */
  modes: z.array(z.enum(MODES)),
  /** Of a random direction. */
  sign: z.union([z.literal(1), z.literal(-1)]).optional(),
  seed: z.number().optional(),
  /** Of a prompt's arm. */
  text: z.string().optional(),
});
export type Arm = z.infer<typeof Arm>;

/** Where a prompt stands: as the system's message of a conversation, or before a plain text. */
export const PROMPT_PLACES = ['system', 'prefix'] as const;

export const RemedyContent = z.object({
  version: z.literal(1),
  kind: z.enum(REMEDY_KINDS),
  profile: z.enum(['rigorous', 'paper']),
  model: z.object({
    name: z.string(),
    /** Of the checkpoint. */
    sha256: z.string(),
    /** Of the tokenizer; null where the activations do not say. */
    tokenizer: z.string().nullable(),
    hidden: z.number().int().positive(),
    layers: z.number().int().positive(),
    /** In which the states were captured. */
    precision: z.string(),
  }),
  /** Around each text; null for a prompt. */
  template: z.string().nullable(),
  /** What it was fitted on: a corpus, or pairs. Null for a prompt. */
  corpus: z.object({ name: z.string(), authored: z.boolean(), sha256: z.string(), pairs: z.boolean() }).nullable(),
  seed: z.number(),
  sites: z.array(RemedySite),
  prompt: z.object({ place: z.enum(PROMPT_PLACES), text: z.string(), tokens: z.number() }).optional(),
  arms: z.array(Arm).min(1),
  notes: z.array(z.string()),
  summary: z.string(),
});
export type RemedyContent = z.infer<typeof RemedyContent>;
