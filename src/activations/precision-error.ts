/** @file What a reduced precision costs a model, as manifests carry it. It is measured with the diagnosis's own analyses. */
import { z } from 'zod';
import type { LanguageModel } from '../model/language-model.js';
import { PRECISIONS, type Precision } from '../model/precision.js';
import type { WorkOptions } from '../progress.js';
import { median } from './pooling.js';

/** A figure of the probe texts in both precisions; null where it cannot be computed. */
const Moved = z.object({ fp32: z.number().nullable(), reduced: z.number().nullable() });
export type Moved = z.infer<typeof Moved>;

/** The diagnosis's figures of a layer's last-token states, by where diagnosis.json has them. */
export const LAYER_FIGURES = [
  'categorical.mean',
  'categorical.baseline',
  'gradient.detection',
  'gradient.gradient',
  'structural.kmeansAmi.foundation',
  'structural.kmeansAmi.polarity',
  'structural.kmeansAmi.both',
  'dimensional.r2',
  'knows.auc',
  'anisotropy.raw',
] as const;
export type LayerFigure = (typeof LAYER_FIGURES)[number];

export const PrecisionError = z.object({
  version: z.literal(2),
  precision: z.enum(PRECISIONS),
  /** sha256 of the probe texts as run and their judgments; no other set's figures can be set beside these. */
  probe: z.string(),
  texts: z.number().int(),
  layers: z.array(
    z.object({
      layer: z.number().int(),
      /** Of |error| / |state - mean state| over tokens that are neither first nor sinks. */
      median: z.number(),
      worst: z.number(),
      figures: z.record(z.enum(LAYER_FIGURES), Moved),
    }),
  ),
  nextToken: z.object({
    /** KL of the reduced next-token distribution from that of fp32 at the template's end, nats; over the texts. */
    meanKl: z.number(),
    worstKl: z.number(),
  }),
  /** Log-odds of approving words at the template's end; null where no word pair is two single tokens. */
  readout: z
    .object({
      pairs: z.number().int(),
      /** Mean over the texts of how far their log-odds move, nats. */
      shift: z.number(),
      auc: Moved,
      spearman: Moved,
      /** Nats. */
      bias: Moved,
    })
    .nullable(),
});
export type PrecisionError = z.infer<typeof PrecisionError>;

/** Measures what a precision costs this model. */
export type MeasurePrecision = (
  model: LanguageModel,
  precision: Exclude<Precision, 'fp32'>,
  options?: WorkOptions & { threads?: number | undefined },
) => Promise<PrecisionError>;

/** How the line for people calls the figures it tells. */
const TOLD: readonly [LayerFigure, string][] = [
  ['categorical.mean', 'opposed cosines'],
  ['gradient.detection', 'detection'],
  ['gradient.gradient', 'gradient'],
  ['structural.kmeansAmi.both', 'k-means AMI'],
  ['dimensional.r2', 'R2'],
  ['knows.auc', 'probe AUC'],
];

/** One line for people. */
export function formatPrecisionError({ precision, texts, layers, nextToken, readout }: PrecisionError): string {
  const percent = (x: number) => `${100 * x < 100 ? (100 * x).toPrecision(2) : (100 * x).toFixed(0)}%`;
  const middle = median(Float64Array.from(layers, (layer) => layer.median));
  const last = layers[layers.length - 1].median;
  const worst = layers.reduce((a, b) => (b.worst > a.worst ? b : a));
  const moves = TOLD.map(([figure, name]) => {
    const by = layers.flatMap(({ figures }) => distance(figures[figure]) ?? []);
    if (by.length === 0) return `${name} not computable`;
    return `${name} ${median(Float64Array.from(by)).toFixed(3)} (${Math.max(...by).toFixed(3)})`;
  });
  const both = ({ fp32, reduced }: Moved) => [fp32, reduced].map((value) => value?.toFixed(3) ?? 'none').join(' to ');
  return [
    `${precision} against fp32 on ${texts} probe texts: states off by ${percent(middle)} (median layer; last layer ${percent(last)}, worst token ${percent(worst.worst)} at layer ${worst.layer})`,
    `next token KL ${nextToken.meanKl.toExponential(1)} nats`,
    `figures by, at the median layer (at most): ${moves.join(', ')}`,
    readout
      ? `readout AUC ${both(readout.auc)}, bias ${both(readout.bias)} nats, log-odds by ${readout.shift.toFixed(3)}`
      : 'no readout',
  ].join('; ');
}

function distance({ fp32, reduced }: Moved): number | undefined {
  return fp32 === null || reduced === null ? undefined : Math.abs(reduced - fp32);
}
