/** @file What the manifest of an activation directory says beyond every artifact's: shapes, thresholds, the readout's words. */
import { z } from 'zod';
import { SITE_POINTS } from '../model/site.js';
import { POOLINGS } from './pooling.js';
import { PrecisionError } from './precision-error.js';

export const ACTIVATIONS_FORMAT = 'moralscope.activations';
export const ACTIVATIONS_VERSION = 1;

/** What is stored a layer: one vector a text and pooling, or every token's state. */
export const STORED = [...POOLINGS, 'tokens'] as const;
export type Stored = (typeof STORED)[number];

/** A site's sink threshold: 3 x the median token norm on general text, first tokens left out (docs/paper.md section 2). */
export const SinkCalibration = z.object({ layer: z.number().int(), medianNorm: z.number(), threshold: z.number().positive() });
export type SinkCalibration = z.infer<typeof SinkCalibration>;

/** The tokens whose log-probability at the template's end is kept. */
export const ReadoutTokens = z.object({
  tokenIds: z.array(z.number().int().nonnegative()),
  /** Each token as text, leading space included. */
  tokens: z.array(z.string()),
  /** Antonym pairs as [virtue, vice] indices into `tokenIds`. */
  pairs: z.array(z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()])),
  /** The same pairs as words. */
  words: z.array(z.tuple([z.string(), z.string()])),
  /** Number of the corpus's own texts that chose the frequent tokens. */
  sample: z.number().int(),
});
export type ReadoutTokens = z.infer<typeof ReadoutTokens>;

/** What is measured before the first shard is written, and kept beside unfinished work so that the rest agrees with it. */
export const Calibration = z.object({ sinks: z.array(SinkCalibration), readout: ReadoutTokens.nullable() });
export type Calibration = z.infer<typeof Calibration>;

export const ActivationDetails = z.object({
  model: z.object({
    name: z.string(),
    family: z.string(),
    layers: z.number().int(),
    hidden: z.number().int().positive(),
    vocabulary: z.number().int(),
    parameters: z.number(),
    sha256: z.string(),
    /** sha256 of the tokenizer; null in directories of versions that did not keep it. */
    tokenizer: z.string().nullable().default(null),
    precision: z.string(),
  }),
  /** Null where plain texts were captured. */
  corpus: z.object({ name: z.string(), authored: z.boolean(), sha256: z.string() }).nullable(),
  template: z.string(),
  site: z.enum(SITE_POINTS),
  layers: z.array(z.number().int().nonnegative()).min(1),
  poolings: z.array(z.enum(STORED)).min(1),
  rows: z.number().int().positive(),
  /** Tokens run, padding not counted. */
  tokens: z.number().int(),
  /** Texts cut at `maxTokens`. */
  truncated: z.number().int(),
  maxTokens: z.number().int(),
  shards: z.array(z.object({ file: z.string().regex(/^[\w.-]+$/), rows: z.number().int().positive(), bytes: z.number().int() })),
  calibration: z.array(SinkCalibration),
  readout: ReadoutTokens.nullable(),
  /** States that the last run computed: fewer than tokens, since texts that begin alike share them. */
  computed: z.number().int().default(0),
  /** What the precision costs; null for fp32, where it was not measured, or was by an older version. */
  precisionError: PrecisionError.nullable().default(null).catch(null),
  /** Seconds of the last run by kind of work; writing goes on beside the others. */
  work: z.object({
    opening: z.number().default(0),
    forward: z.number(),
    pooling: z.number(),
    readout: z.number(),
    writing: z.number(),
  }),
});
export type ActivationDetails = z.infer<typeof ActivationDetails>;
