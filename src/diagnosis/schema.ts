/** @file The shape of diagnosis.json, version 1: what `diagnose` returns and the report draws. */
import { z } from 'zod';
import { POOLINGS, type Pooling } from '../activations/pooling.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';

/** One number with what it must be read against. `value` is null where nothing could be computed, and `why` says why. */
export const Figure = z.object({
  value: z.number().nullable(),
  /** 95% interval, bootstrap over texts unless the field says otherwise. */
  ci95: z.tuple([z.number(), z.number()]).optional(),
  /** The same statistic under permuted judgments: mean and the central 95%. */
  null: z.object({ mean: z.number(), q025: z.number(), q975: z.number() }).optional(),
  /** One-sided permutation p in the direction that means "the model tells them apart"; (1 + hits) / (1 + permutations). */
  p: z.number().optional(),
  /** The value from which this sample would have shown an effect at p < .05 with 80% power. */
  detectable: z.number().optional(),
  why: z.string().optional(),
});
export type Figure = z.infer<typeof Figure>;

const byFoundation = <T extends z.ZodType>(item: T) =>
  z.object(Object.fromEntries(FOUNDATIONS.map((f) => [f, item])) as Record<(typeof FOUNDATIONS)[number], T>);
const byPole = <T extends z.ZodType>(item: T) =>
  z.object(Object.fromEntries(POLES.map((p) => [p, item])) as Record<(typeof POLES)[number], T>);
const byLabels = <T extends z.ZodType>(item: T) => z.object({ foundation: item, polarity: item, both: item });

/** Analysis 1 (docs/paper.md section 3.1). Lower cosines are better: opposed poles point apart. */
export const Categorical = z.object({
  /** Mean over the foundations of the cosine between opposed prototypes, centred states. */
  mean: Figure,
  perFoundation: byFoundation(
    z.object({
      cosine: Figure,
      /** The cosine divided by the geometric mean of the two prototypes' split-half reliabilities. */
      disattenuated: Figure,
      /** Split-half reliability of the virtue's and the vice's prototype (Spearman-Brown). */
      reliability: z.object({ virtue: Figure, vice: Figure }),
      /** Mean cosine of this foundation's poles with the opposed poles of OTHER foundations, shared texts left out. */
      baseline: Figure,
    }),
  ),
  /** Mean of the baselines: what valence and topic do without the pair. */
  baseline: Figure,
  /** Cosines between all ten prototypes, null where a pole has none; order of POLES. */
  matrix: z.array(z.array(z.number().nullable())),
});
export type Categorical = z.infer<typeof Categorical>;

/** Analysis 2 (section 3.2). Detection: neutrals counted as 0; gradient: among texts of the pole alone. */
export const Gradient = z.object({
  detection: Figure,
  gradient: Figure,
  perPole: byPole(z.object({ detection: Figure, gradient: Figure })),
});
export type Gradient = z.infer<typeof Gradient>;

/** Analysis 3 (section 3.3). */
export const Structural = z.object({
  /** HDBSCAN against the human classes, noise counted as a class of its own. */
  ari: byLabels(Figure),
  /** The same with noise points dropped, as the paper does. */
  ariWithoutNoise: byLabels(Figure),
  ami: byLabels(Figure),
  /** k-means with k = number of human classes. */
  kmeansAmi: byLabels(Figure),
  noise: Figure,
  clusters: z.number(),
  components: z.number(),
  minClusterSize: z.number(),
  minSamples: z.number(),
});
export type Structural = z.infer<typeof Structural>;

/** Analysis 4 (section 3.4): ridge from states to the ten moral dimensions, held-out texts. */
export const Dimensional = z.object({
  r2: Figure,
  /** Adjusted R2 of the training fit with its own n and p = effective degrees of freedom. */
  adjustedR2: z.number().nullable(),
  edf: z.number().nullable(),
  lambda: z.number().nullable(),
  perPole: byPole(Figure),
  /** Bag-of-words ridge on the same texts. */
  floor: Figure,
  /** What repeated annotation of the same text allows. */
  ceiling: Figure,
});
export type Dimensional = z.infer<typeof Dimensional>;

const analyses = { categorical: Categorical, gradient: Gradient, structural: Structural, dimensional: Dimensional };

export const LayerDiagnosis = z.object({
  layer: z.number(),
  sink: z.object({
    /** Norm of the first token over the median norm of the others. */
    ratio: z.number().nullable(),
    /** Share of the pooled states' variance that 1 / length explains. */
    lengthShare: z.number(),
    /** Share of the variance on the first principal component, of the texts of one foundation (those of analysis 3). */
    firstComponent: z.number().nullable(),
  }),
  /** Mean cosine of random pairs of texts before and after centring; null where all states are alike. */
  anisotropy: z.object({ raw: z.number().nullable(), centred: z.number().nullable() }),
  ...analyses,
  /** AUC of virtue against vice of a held-out linear probe at this layer. */
  knows: Figure,
  /** The four analyses once more, on states with length regressed out; with their nulls, without intervals. */
  lengthRegressed: z.object(analyses),
});
export type LayerDiagnosis = z.infer<typeof LayerDiagnosis>;

/** A layer chosen on one part of the texts, its figure measured on the other. */
export const Best = z.object({
  layer: z.number().nullable(),
  figure: Figure,
  /**
   * p of the most extreme statistic over all layers and poles, each in standard deviations of its own null, against the most extreme of every
   * permutation (max-T). It need not be this layer's. All texts; analysis 4: its test texts.
   */
  pMaximum: z.number().optional(),
});
export type Best = z.infer<typeof Best>;

export const ANALYSES = ['categorical', 'gradient', 'structural', 'dimensional'] as const;
export type { Pooling };
export { POOLINGS };

export const PoolingDiagnosis = z.object({
  best: z.object({ categorical: Best, gradient: Best, structural: Best, dimensional: Best }),
  layers: z.array(LayerDiagnosis),
});
export type PoolingDiagnosis = z.infer<typeof PoolingDiagnosis>;

export const Readout = z.object({
  auc: Figure,
  spearman: Figure,
  /** Mean of the two classes' mean log-odds, nats: above 0 the model leans to approving words. */
  bias: Figure,
  /** The same texts (the test part), fitted on the training part: AUC of a bag of words and of the recalibrated readout. */
  floors: z.object({ bagOfWords: Figure, recalibrated: Figure }),
  /** AUC of the untouched readout on that same test part, to set beside the floors and `knows`. */
  aucOnTest: Figure,
  words: z.array(z.tuple([z.string(), z.string()])),
});
export type Readout = z.infer<typeof Readout>;

const Verdict = z.object({
  analysis: z.enum([...ANALYSES, 'readout']),
  pooling: z.enum(POOLINGS).nullable(),
  layer: z.number().nullable(),
  figure: Figure,
  /** `apart`: better than its null; `chance`: not told from its null (see detectable); `empty`: not computable. */
  outcome: z.enum(['apart', 'chance', 'empty']),
  /** Plain words: what the figure means, and what must be seen beside it. */
  meaning: z.string(),
  /** The whole line: what was measured, against what, and the meaning. */
  text: z.string(),
});
export type Verdict = z.infer<typeof Verdict>;

const TypicalAction = z.object({
  text: z.string(),
  pole: z.enum(POLES),
  /** Human judgment m on that pole. */
  human: z.number(),
  /** Cosine of the text's centred state with the pole's prototype (the text itself left out). */
  model: z.number(),
});

export const Diagnosis = z.object({
  version: z.literal(1),
  model: z.object({
    name: z.string(),
    family: z.string(),
    layers: z.number(),
    hidden: z.number(),
    parameters: z.number(),
    sha256: z.string(),
    precision: z.string(),
  }),
  corpus: z.object({ name: z.string(), authored: z.boolean(), sha256: z.string() }),
  template: z.string(),
  profile: z.enum(['rigorous', 'paper']),
  seed: z.number(),
  permutations: z.number(),
  bootstraps: z.number(),
  /** Rows and texts that were diagnosed; texts by pole with m > 0, and neutrals by foundation. */
  n: z.object({ rows: z.number(), texts: z.number(), perPole: byPole(z.number()), neutrals: byFoundation(z.number()) }),
  readout: Readout,
  /** What a held-out linear probe reads at the layer chosen on validation texts. */
  knows: z.object({ auc: Figure, spearman: Figure, layer: z.number().nullable(), pooling: z.enum(POOLINGS).nullable() }),
  poolings: z.partialRecord(z.enum(POOLINGS), PoolingDiagnosis),
  /** Five lines, one an analysis, then the sentence that sets what the model says against what its geometry shows. */
  verdicts: z.array(Verdict),
  summary: z.string(),
  /** For the reader: prototypes in the plane (classical scaling of the best layer's prototypes), and typical actions. */
  map: z.object({
    pooling: z.enum(POOLINGS),
    layer: z.number(),
    points: z.array(z.object({ pole: z.enum(POLES), x: z.number(), y: z.number() })),
  }),
  typical: z.object({
    pooling: z.enum(POOLINGS),
    layer: z.number(),
    most: z.array(TypicalAction),
    least: z.array(TypicalAction),
  }),
  manifest: z.record(z.string(), z.unknown()),
});
export type Diagnosis = z.infer<typeof Diagnosis>;
