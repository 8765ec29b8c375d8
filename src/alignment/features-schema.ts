/** @file The shape of features.json, version 1: what `features` finds and its report draws. */
import { z } from 'zod';
import { SITE_POINTS } from '../model/site.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';

const byPole = <T extends z.ZodType>(item: T) =>
  z.object(Object.fromEntries(POLES.map((pole) => [pole, item])) as Record<(typeof POLES)[number], T>);
const Pole = z.enum(POLES);
/** A correlation; null where either side is constant. */
const R = z.number().nullable();

const Interval = z.tuple([z.number(), z.number()]);

const Histogram = z.array(z.object({ from: z.number(), to: z.number(), count: z.number() }));
export type Histogram = z.infer<typeof Histogram>;

/** What the paper's rules say (docs/paper.md section 6): r of all texts, nothing held out, no p. */
const PaperCounts = z.object({ weak: z.number(), mono: z.number(), poly: z.number(), fineTuned: z.number() });
export type PaperCounts = z.infer<typeof PaperCounts>;

/** What our rule says, by pole; null for a pole that was not screened. */
const PoleCounts = z.object({
  /** Tests of the pole over both directions: latents that a fold chose. */
  tested: z.number(),
  survivors: z.number(),
  /** |r| that one latent would have shown with 80% power. */
  detectable: z.number(),
});
export type PoleCounts = z.infer<typeof PoleCounts>;

/** The strongest of a pole on the first fold, on the second. */
const Best = z.object({ index: z.number(), chosenBy: z.number(), r: R, ci95: Interval.optional() });

/** Both rules on one set of variables. */
const Screening = z.object({
  /** Latents, or channels. */
  width: z.number(),
  /** Those active on at least 10 texts of each fold: the others are not tested. */
  active: z.number(),
  /** Mean number that are not 0 on a text's state. */
  l0: z.number(),
  paper: PaperCounts,
  perPole: byPole(PoleCounts.nullable()),
  tested: z.number(),
  /** Pairs of variable and pole that survive. */
  pairs: z.number(),
  /** Variables that survive for any pole. */
  survivors: z.number(),
  best: byPole(Best.nullable()),
});
export type Screening = z.infer<typeof Screening>;

/** A latent that survives for a pole. */
const Survivor = z.object({
  latent: z.number(),
  pole: Pole,
  /** r on the fold that chose it, and on the one that judged it. */
  chosenBy: z.number(),
  r: z.number(),
  p: z.number(),
  q: z.number(),
  /** What its r would be from the foundations of the texts alone, the p of the rest, and its q over the survivors of the pole. */
  topic: z.object({ expected: z.number(), p: z.number(), q: z.number() }),
});
export type Survivor = z.infer<typeof Survivor>;

const Reading = z.object({
  screening: Screening,
  survivors: z.array(Survivor),
  /** Of all latents: log10 of the share of states in which one is active; those never active are `dead`. */
  density: z.object({ states: z.number(), dead: z.number(), histogram: Histogram }),
});
export type ReadingResult = z.infer<typeof Reading>;

const PoleOfFeature = z.object({
  /** On texts that did not choose it. */
  r: R,
  ci95: Interval.optional(),
  /** Permutation of texts, two-sided. */
  p: z.number(),
  /** Of the latents tested for the pole; null where no fold chose it for this one. */
  q: z.number().nullable(),
  /** r from the foundations of the texts alone, and the p of what goes beyond it. */
  topic: z.object({ expected: z.number(), p: z.number() }),
  /** r with the mean of z over content tokens, the same texts; null without such states. */
  content: R,
});

const Action = z.object({
  text: z.string(),
  z: z.number(),
  /** Poles with m > 0. */
  judged: z.partialRecord(Pole, z.number()),
  /** The text as the model read it, token by token, and z of each; 0 at sinks. Only with a model. */
  tokens: z.array(z.string()).optional(),
  values: z.array(z.number()).optional(),
});
export type Action = z.infer<typeof Action>;

const LensToken = z.object({ token: z.string(), value: z.number() });

const Feature = z.object({
  latent: z.number(),
  /** Why it is described. */
  because: z.array(z.enum(['survives', 'asked for', 'top of its pole'])),
  /** The folds that its r is of, by name, and their texts. */
  heldOut: z.object({ folds: z.array(z.string()), texts: z.number() }),
  paper: z.object({ class: z.enum(['weak', 'mono', 'poly']), fineTuned: z.boolean() }),
  perPole: byPole(PoleOfFeature.nullable()),
  density: z.object({
    /** Share of texts whose last state activates it, and of content tokens. */
    texts: z.number(),
    tokens: z.number().nullable(),
    /** Mean of z where it is active, and the largest; 0 if never. */
    mean: z.number(),
    max: z.number(),
    /** Of z > 0, over the texts. */
    histogram: Histogram,
  }),
  /** Null for a row or column of length 0. */
  encoderDecoderCosine: R,
  /** Latents with the largest cosine of decoder rows. */
  neighbours: z.array(z.object({ latent: z.number(), cosine: z.number() })),
  /** Tokens that it makes likelier and less likely (`lens` says how); null without a model. */
  lens: z.object({ positive: z.array(LensToken), negative: z.array(LensToken) }).nullable(),
  /** By z of the last state, falling. */
  actions: z.array(Action),
});
export type Feature = z.infer<typeof Feature>;

export const Features = z.object({
  version: z.literal(1),
  sae: z.object({
    architecture: z.string(),
    dIn: z.number(),
    width: z.number(),
    site: z.object({ layer: z.number(), point: z.enum(SITE_POINTS) }),
    format: z.string(),
  }),
  model: z.object({ name: z.string(), sha256: z.string(), precision: z.string() }),
  corpus: z.object({ name: z.string(), authored: z.boolean(), sha256: z.string() }),
  template: z.string(),
  seed: z.number(),
  permutations: z.number(),
  bootstraps: z.number(),
  level: z.number(),
  minEffect: z.number(),
  /** Names and sizes of the halves of the texts; `crossFitted`: each chose for the other. */
  folds: z.object({
    names: z.tuple([z.string(), z.string()]),
    texts: z.tuple([z.number(), z.number()]),
    crossFitted: z.boolean(),
  }),
  n: z.object({ texts: z.number(), perPole: byPole(z.number()), neutrals: z.record(z.enum(FOUNDATIONS), z.number()) }),
  /** Poles that were not screened, and why. */
  skipped: z.partialRecord(Pole, z.string()),
  readings: z.object({ last: Reading, content: Reading.nullable() }),
  /** The same rules on what should show nothing, or no more than the states do without the autoencoder. */
  peers: z.object({
    channels: Screening,
    randomDirections: Screening,
    randomDirectionsOnContent: Screening.nullable(),
    /** Means and largest over as many exchanges of whole moral vectors among texts. */
    permutedVectors: z.object({
      draws: z.number(),
      pairs: z.object({ mean: z.number(), max: z.number() }),
      survivors: z.object({ mean: z.number(), max: z.number() }),
      mono: z.object({ mean: z.number(), max: z.number() }),
      fineTuned: z.object({ mean: z.number(), max: z.number() }),
    }),
  }),
  features: z.array(Feature),
  /** How the tokens of `lens` were found. */
  lens: z.string().nullable(),
  /** What could not be had, and what is needed for it. */
  notes: z.array(z.string()),
  summary: z.string(),
});
export type Features = z.infer<typeof Features>;
