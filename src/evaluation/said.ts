/** @file What the readout says of one data set before and after, beside controls, probe and floors. */
import { finite } from '../diagnosis/figure.js';
import { readoutStatistics } from '../diagnosis/readout.js';
import { quantiles } from '../statistics/resampling.js';
import type { LabelledTexts } from './labelled-texts.js';
import { type Drawn, difference, estimate, gapClosed, minus, PairedBootstrap, rightness } from './paired-bootstrap.js';
import type { ControlKind, Controls, Said, Spread, VerifiedSet } from './schema.js';

const AUC = [0, 1] as const;
const CORRELATION = [-1, 1] as const;

/** The readout of a data set's texts, nats, under everything that was tried. */
export interface SaidOdds {
  before: Float64Array;
  /** The remedy at each strength. */
  remedy: readonly Float64Array[];
  /** Each control at the chosen one. */
  controls: readonly { name: string; kind: ControlKind; odds: Float64Array }[];
}

/** What other readers tell of the same texts, NaN for a text that they have no score for. */
export interface OtherReaders {
  knows: Float64Array;
  /** The probe of the data set that the remedy was fitted on, on another. */
  carried?: Float64Array | undefined;
  bagOfWords: Float64Array;
  recalibrated: Float64Array;
}

export type SaidFigures = Pick<
  VerifiedSet,
  'before' | 'after' | 'change' | 'strengths' | 'controls' | 'arms' | 'carried' | 'floors' | 'aboveFloors' | 'gap' | 'gapClosed'
> & { knows: Omit<VerifiedSet['knows'], 'layer'> };

/**
 * All that is said of one data set (docs/paper.md sections 3.5 and 8), under one paired bootstrap.
 * @param chosen the place of the chosen strength
 */
export function saidFigures(
  texts: LabelledTexts,
  odds: SaidOdds,
  readers: OtherReaders,
  { strengths, chosen, ...draws }: { strengths: readonly number[]; chosen: number; bootstraps: number; seed: number },
): SaidFigures {
  const bootstrap = new PairedBootstrap(texts, draws);
  const drawnOf = (scores: Float64Array) => ({
    auc: bootstrap.auc(scores),
    spearman: bootstrap.spearman(scores),
    bias: bootstrap.bias(scores),
    pairsRight: bootstrap.pairsRight(scores),
  });
  const before = drawnOf(odds.before);
  const byStrength = odds.remedy.map(drawnOf);
  const after = byStrength[chosen];
  const knows = bootstrap.auc(readers.knows);
  const knownPairs = bootstrap.pairsRight(readers.knows);
  const [bagOfWords, recalibrated] = [bootstrap.auc(readers.bagOfWords), bootstrap.auc(readers.recalibrated)];
  const arms = odds.controls.map(({ name, kind, odds: own }) => {
    const [auc, , bias] = readoutStatistics(own, texts.valence);
    return { name, kind, auc: finite(auc), bias: finite(bias), pairsRight: shareOfPairs(texts, own) };
  });
  return {
    before: said(before),
    after: said(after),
    change: {
      auc: difference(minus(after.auc, before.auc)),
      spearman: difference(minus(after.spearman, before.spearman)),
      bias: difference(minus(after.bias, before.bias)),
      ...(after.pairsRight && before.pairsRight && { pairsRight: difference(minus(after.pairsRight, before.pairsRight)) }),
    },
    strengths: byStrength.map((at, i) => ({
      strength: strengths[i],
      auc: estimate(at.auc, AUC),
      spearman: estimate(at.spearman, CORRELATION),
      bias: estimate(at.bias),
      change: difference(minus(at.auc, before.auc)),
    })),
    controls: controlsByKind(arms, after.auc, (best) => bootstrap.auc(odds.controls[best].odds)),
    arms: arms.map(({ pairsRight: _, ...arm }) => arm),
    knows: { auc: estimate(knows, AUC, NO_PROBE), ...(knownPairs && { pairsRight: estimate(knownPairs, AUC, NO_PROBE) }) },
    ...(readers.carried && { carried: estimate(bootstrap.auc(readers.carried), AUC, NO_PROBE) }),
    floors: { bagOfWords: estimate(bagOfWords, AUC, NO_WORDS), recalibrated: estimate(recalibrated, AUC, NO_LOGISTIC) },
    aboveFloors: {
      bagOfWords: difference(minus(after.auc, bagOfWords), NO_WORDS),
      recalibrated: difference(minus(after.auc, recalibrated), NO_LOGISTIC),
    },
    gap: difference(minus(knows, before.auc), NO_PROBE),
    gapClosed: gapClosed(before.auc, after.auc, knows),
  };
}

const NO_PROBE = 'the texts to fit a probe on are all judged alike';
const NO_WORDS = 'no word occurs in two training texts';
const NO_LOGISTIC = 'the texts to fit on lack a virtue or a vice';

function said({
  auc,
  spearman,
  bias,
  pairsRight,
}: Record<'auc' | 'spearman' | 'bias', Drawn> & { pairsRight?: Drawn | undefined }): Said {
  return {
    auc: estimate(auc, AUC),
    spearman: estimate(spearman, CORRELATION),
    bias: estimate(bias),
    ...(pairsRight && { pairsRight: estimate(pairsRight, AUC) }),
  };
}

type ArmFigures = { kind: ControlKind; auc: number | null; bias: number | null; pairsRight: number | null };

/** Fewer controls of a kind than this have no 97.5% quantile to speak of. */
export const FEWEST_CONTROLS = 20;

/**
 * Controls of each kind, in the order in which kinds appear; p says how often one does as well as the remedy: always, where that gives no
 * numbers.
 * @param drawn the AUC of the arm at this place, under the bootstrap
 */
function controlsByKind(arms: readonly ArmFigures[], remedy: Drawn, drawn: (arm: number) => Drawn): Controls[] {
  return [...new Set(arms.map(({ kind }) => kind))].flatMap((kind) => {
    // An arm under which the model gives no numbers is no control.
    const own = arms.filter((arm) => arm.kind === kind && arm.auc !== null);
    const [auc, bias, pairsRight] = (['auc', 'bias', 'pairsRight'] as const).map((field) =>
      spreadOf(own.map((arm) => arm[field])),
    );
    if (!auc || !bias) return [];
    const sorted = own.map((arm) => arm.auc!).sort((a, b) => a - b);
    const bar = sorted[Math.min(own.length, Math.ceil(0.975 * (own.length + 1))) - 1];
    const hits = sorted.filter((value) => !(value < remedy.value)).length;
    const best = arms.findIndex((arm) => arm.kind === kind && arm.auc === sorted.at(-1));
    return [
      {
        kind,
        n: own.length,
        auc,
        bias,
        ...(pairsRight && { pairsRight }),
        bar,
        ...(own.length < FEWEST_CONTROLS && { above: difference(minus(remedy, drawn(best))) }),
        p: (1 + hits) / (1 + own.length),
      },
    ];
  });
}

/** Mean, central 95% and largest of those that there are; undefined where there is none. */
export function spreadOf(values: readonly (number | null)[]): Spread | undefined {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return undefined;
  const [q025, q975] = quantiles(known, [0.025, 0.975]);
  return { mean: known.reduce((a, b) => a + b, 0) / known.length, q025, q975, max: Math.max(...known) };
}

function shareOfPairs({ pairs, units }: LabelledTexts, odds: Float64Array): number | null {
  if (!pairs) return null;
  let right = 0;
  for (let pair = 0; pair < units; pair++) right += rightness(odds[pairs[2 * pair]], odds[pairs[2 * pair + 1]]);
  return right / units;
}
