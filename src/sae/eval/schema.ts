/** @file The shape of sae-eval.json, version 1: what `sae eval` measures and its report draws. */
import { z } from 'zod';
import { STORED } from '../../activations/details.js';
import { SITE_POINTS } from '../../model/site.js';
import { POLES } from '../../moral/foundation.js';

/** One number. `value` is null where nothing could be computed, and `why` says why. */
const EvalFigure = z.object({
  value: z.number().nullable(),
  /** 95% interval, bootstrap over texts. */
  ci95: z.tuple([z.number(), z.number()]).optional(),
  why: z.string().optional(),
});
export type EvalFigure = z.infer<typeof EvalFigure>;

/** The autoencoder under test and the two it is measured against. */
export const ARMS = ['sae', 'random', 'pca'] as const;
export type Arm = (typeof ARMS)[number];
const byArm = <T extends z.ZodType>(item: T) => z.object({ sae: item, random: item, pca: item });

/** What all states are replaced by in the two ablations. */
export const ABLATIONS = ['zero', 'mean'] as const;
export type Ablation = (typeof ABLATIONS)[number];

/** Numbers of latents and channels that a probe may use. */
export const PROBE_SIZES = [1, 2, 5, 10] as const;

const Quantiles = z.object({
  min: z.number(),
  q05: z.number(),
  q25: z.number(),
  median: z.number(),
  q75: z.number(),
  q95: z.number(),
  max: z.number(),
});
export type Quantiles = z.infer<typeof Quantiles>;

const Histogram = z.array(z.object({ from: z.number(), to: z.number(), count: z.number() }));
export type Histogram = z.infer<typeof Histogram>;

/**
 * How a reconstruction compares with its state in direction and length (SAEBench's definitions, sums in fp64): `cosine`, mean of
 * cos(x, x^); `l2Ratio`, mean of |x^| / |x|; `bias`, relative reconstruction bias E|x^|^2 / E[x . x^], 1 where nothing shrinks
 * (Rajamanoharan et al. 2024, arXiv 2404.16014, equation 10). A vector of length 0 counts as 0 in the two means.
 */
const Shape = z.object({ cosine: EvalFigure, l2Ratio: EvalFigure, bias: EvalFigure });

const Reconstruction = z.object({
  /** sum |x - x^|^2 / sum |x - mean|^2, both sums over all states first. */
  fvu: EvalFigure,
  /** 1 - fvu. */
  explainedVariance: EvalFigure,
  /** Mean of (x - x^)^2 over states and channels. */
  mse: EvalFigure,
  /** Mean number of z > 0. */
  l0: EvalFigure,
  l0Quantiles: Quantiles,
  /** Share of the latents that no state of the window activates. The window is all states measured. */
  dead: EvalFigure,
  /** Latents that are alive by log10 of the share of states that activate them. */
  density: Histogram,
  /** Of x and x^ as they are. States carry constants a thousand times their signal, which make these look good. */
  uncentred: Shape,
  /** Of x - mean and x^ - mean. */
  centred: Shape,
});
export type Reconstruction = z.infer<typeof Reconstruction>;

/** Every arm on one kind of states. The baselines are fitted on these very states, which favours them. */
const MeasuredStates = z.object({
  states: z.enum(STORED),
  /** States measured, the texts they are of, and sink tokens left out. */
  n: z.number(),
  texts: z.number(),
  sinks: z.number(),
  /** Every so many-th state was taken. */
  stride: z.number(),
  arms: byArm(Reconstruction),
});
export type MeasuredStates = z.infer<typeof MeasuredStates>;

const DecoderCosines = z.object({
  mean: EvalFigure,
  quantiles: Quantiles.nullable(),
  histogram: Histogram,
});
export type DecoderCosines = z.infer<typeof DecoderCosines>;

/** (CE_ablated - CE_spliced) / (CE_ablated - CE_original) and (KL_ablated - KL_spliced) / KL_ablated. */
const Recovered = z.object({ ceRecovered: EvalFigure, klScore: EvalFigure });

/** Nats a token, and the divergence from the untouched model: KL(original || changed), nats a token. */
const Loss = z.object({ ce: EvalFigure, kl: EvalFigure });

const Splice = z.object({
  /** What was run: the activations' own texts in their template, or those of a file. */
  source: z.string(),
  texts: z.number(),
  /** Texts that were cut at the directory's `maxTokens`. */
  truncated: z.number(),
  tokens: z.number(),
  /** Tokens whose probability counts: all but the first of each text. */
  predicted: z.number(),
  /** Share of the tokens whose states every arm and ablation leaves as they are, because they are sinks. */
  untouched: EvalFigure,
  original: z.object({ ce: EvalFigure }),
  ablations: z.object({ zero: Loss, mean: Loss }),
  arms: byArm(Loss.extend({ zero: Recovered, mean: Recovered })),
});
export type Splice = z.infer<typeof Splice>;

const Sizes = z.object(
  Object.fromEntries(PROBE_SIZES.map((k) => [k, EvalFigure])) as Record<`${1 | 2 | 5 | 10}`, typeof EvalFigure>,
);

const Probe = z.object({
  /** Texts with m > 0 on this pole, and the other texts of its foundation: topic alike, valence not. */
  train: z.object({ positive: z.number(), negative: z.number() }),
  test: z.object({ positive: z.number(), negative: z.number() }),
  /** AUC on held-out texts of a logistic regression on the k best latents, by k. */
  latents: Sizes,
  /** The latents of k = 10, best first. */
  chosen: z.array(z.number()),
  /** The same with the k best channels of the residual. */
  channels: Sizes,
  /** AUC of a ridge on the whole residual. */
  residual: EvalFigure,
});
export type Probe = z.infer<typeof Probe>;

const Probing = z.object({
  /** `last`: z of the last token's state. `content`: mean of token-wise z over the tokens that are no sinks. */
  states: z.enum(['last', 'content']),
  perPole: z.object(Object.fromEntries(POLES.map((pole) => [pole, Probe])) as Record<(typeof POLES)[number], typeof Probe>),
  /** Mean over the poles that have a value. */
  mean: z.object({ latents: Sizes, channels: Sizes, residual: EvalFigure }),
});
export type Probing = z.infer<typeof Probing>;

export const SaeEval = z.object({
  version: z.literal(1),
  sae: z.object({
    path: z.string(),
    format: z.string(),
    architecture: z.string(),
    width: z.number(),
    dIn: z.number(),
    k: z.number().nullable(),
    /** What its files say of the model that it was trained on. */
    modelName: z.string().nullable(),
    modelSha256: z.string().nullable(),
  }),
  model: z.object({ name: z.string(), sha256: z.string(), precision: z.string() }),
  site: z.object({ layer: z.number(), point: z.enum(SITE_POINTS), name: z.string() }),
  corpus: z.object({ name: z.string(), authored: z.boolean(), sha256: z.string() }).nullable(),
  template: z.string(),
  seed: z.number(),
  bootstraps: z.number(),
  /** A token whose state is longer is a sink, as is the first token of every text. */
  sinkThreshold: z.number(),
  /** Token states first, where there are any. */
  reconstruction: z.array(MeasuredStates),
  /** Of every latent the largest cosine of its decoder row with another's. */
  decoderCosines: z.object({ sae: DecoderCosines, random: DecoderCosines }),
  splice: z.union([Splice, z.object({ why: z.string() })]),
  probing: z.union([z.array(Probing), z.object({ why: z.string() })]),
  manifest: z.record(z.string(), z.unknown()),
});
export type SaeEval = z.infer<typeof SaeEval>;
