/** @file How far a model in reduced precision is from itself in fp32, on a fixed set of texts. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { z } from 'zod';
import { sha256, writeFileAtomic } from '../artifact/files.js';
import { throwIfCancelled } from '../errors.js';
import { DecoderSession } from '../model/decoder-session.js';
import type { LanguageModel } from '../model/language-model.js';
import { logSumExp } from '../model/log-sum-exp.js';
import { PRECISIONS, type Precision } from '../model/precision.js';
import { distinctBeginnings, type TokenBatch } from '../model/token-rows.js';
import { POLES } from '../moral/foundation.js';
import type { WorkOptions } from '../progress.js';
import { padBatch, tokenise } from './batches.js';
import { SINK_RATIO, wordPairs } from './calibration.js';
import { median } from './pooling.js';
import { PROBE_TEXTS } from './probe-texts.js';
import { DEFAULT_TEMPLATE, fillTemplate } from './template.js';

/** A figure of the probe texts in both precisions. */
const Moved = z.object({ fp32: z.number(), reduced: z.number() });
type Moved = z.infer<typeof Moved>;

export const PrecisionError = z.object({
  precision: z.enum(PRECISIONS),
  /** sha256 of the probe texts; no other set's figures can be set beside these. */
  probe: z.string(),
  texts: z.number().int(),
  layers: z.array(
    z.object({
      layer: z.number().int(),
      /** Of |error| / |state - mean state| over tokens that are neither first nor sinks. */
      median: z.number(),
      worst: z.number(),
      /** Mean over the foundations of the cosine of virtue and vice: prototypes of centred last-token states. */
      opposedCosine: Moved,
      /** AUC of virtue against vice along the difference of their means, each text's own left out. */
      separation: Moved,
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
      /** Mean over the texts, nats. */
      meanShift: z.number(),
      /** Mean of absolute values. */
      shift: z.number(),
      auc: Moved,
    })
    .nullable(),
});
export type PrecisionError = z.infer<typeof PrecisionError>;

/** Few, because a run holds its thread from end to end. */
const TEXTS_OF_A_RUN = 6;

/**
 * What the precision costs this model: measured when it is first asked for, and kept beside the compiled graph, for its tokenizer. The states of
 * fp32 are computed block by block, so that models are judged whose fp32 graph would not fit this machine.
 * @throws MoralscopeError `disk`, `cancelled`
 */
export async function precisionError(
  model: LanguageModel,
  precision: Exclude<Precision, 'fp32'>,
  { threads, ...work }: WorkOptions & { threads?: number | undefined } = {},
): Promise<PrecisionError> {
  const texts = POLES.flatMap((pole) => PROBE_TEXTS[pole]).map((action) => fillTemplate(DEFAULT_TEMPLATE, action));
  const probe = sha256(JSON.stringify(texts));
  const compiled = await model.compile({ precision, logits: 'last', ...work });
  const path = join(dirname(compiled.graph), `precision-error-${model.tokenizer.sha256.slice(0, 16)}.json`);
  const kept = await readFile(path, 'utf8')
    .then((text) => PrecisionError.safeParse(JSON.parse(text)).data)
    .catch(() => undefined);
  if (kept?.probe === probe && kept.precision === precision) return kept;

  const { hidden, vocabulary } = compiled;
  const tokens = await tokenise(texts, model.tokenizer, 128, work.signal);
  const batch = padBatch(tokens, Int32Array.from(texts.keys()));
  const session = await DecoderSession.open(compiled, { threads });
  const reduced = await runInTurns(session, batch, work).finally(() => session.close());
  const judge = new Judge(batch, hidden);
  const layers: PrecisionError['layers'] = [];
  let logits: Float32Array | undefined;
  for await (const exact of model.exactStates(compiled, batch, { threads, ...work })) {
    const layer = layers.length;
    if (layer < reduced.residuals.length) layers.push({ layer, ...judge.layer(exact, reduced.residuals[layer]) });
    else logits = exact;
  }
  const pairs = wordPairs(model.tokenizer, DEFAULT_TEMPLATE);
  const error: PrecisionError = {
    precision,
    probe,
    texts: texts.length,
    layers,
    nextToken: divergence(logits!, reduced.logits, vocabulary),
    readout: pairs.length > 0 ? readoutShift(logits!, reduced.logits, vocabulary, pairs) : null,
  };
  await writeFileAtomic(path, `${JSON.stringify(error, null, 1)}\n`);
  return error;
}

/** States of the rows of `distinctBeginnings` and logits of the texts, run a few at a time: between runs a signal gets its turn. */
async function runInTurns(
  session: DecoderSession,
  batch: TokenBatch,
  { onProgress, signal }: WorkOptions,
): Promise<{ residuals: Float32Array[]; logits: Float32Array }> {
  const { sites, hidden, vocabulary, precision } = session.compiled;
  const { ids, lengths, batch: total, length } = batch;
  const { place, first } = distinctBeginnings(batch);
  const residuals = sites.map(() => new Float32Array(first.length * hidden));
  const logits = new Float32Array(total * vocabulary);
  for (let from = 0; from < total; from += TEXTS_OF_A_RUN) {
    onProgress?.({ task: `${precision} for comparison`, done: from, total, unit: 'texts' });
    await breathe();
    throwIfCancelled(signal);
    const to = Math.min(total, from + TEXTS_OF_A_RUN);
    const [begin, end] = [from * length, to * length];
    const part = { ids: ids.subarray(begin, end), lengths: lengths.subarray(from, to), batch: to - from, length };
    const run = await session.run(part);
    for (const [at, row] of run.place.entries())
      for (const [site, states] of run.residuals.entries())
        residuals[site].set(states.subarray(row * hidden, (row + 1) * hidden), place[begin + at] * hidden);
    logits.set(run.logits!, from * vocabulary);
  }
  return { residuals, logits };
}

/** One line for people. */
export function formatPrecisionError({ precision, texts, layers, nextToken, readout }: PrecisionError): string {
  const percent = (x: number) => `${(100 * x).toPrecision(2)}%`;
  const furthest = (figure: 'opposedCosine' | 'separation') =>
    Math.max(...layers.map(({ [figure]: { fp32, reduced } }) => Math.abs(reduced - fp32))).toFixed(3);
  const middle = median(Float64Array.from(layers, (layer) => layer.median));
  const last = layers[layers.length - 1].median;
  const worst = layers.reduce((a, b) => (b.worst > a.worst ? b : a));
  return [
    `${precision} against fp32 on ${texts} probe texts: states off by ${percent(middle)} (median layer; last layer ${percent(last)}, worst token ${percent(worst.worst)} at layer ${worst.layer})`,
    `next token KL ${nextToken.meanKl.toExponential(1)} nats`,
    `opposed cosines by up to ${furthest('opposedCosine')}, separation by up to ${furthest('separation')}`,
    readout
      ? `readout AUC ${readout.auc.fp32.toFixed(3)} to ${readout.auc.reduced.toFixed(3)}, log-odds by ${readout.shift.toFixed(3)} nats`
      : 'no readout',
  ].join('; ');
}

/** Holds the states of a batch's rows against those of fp32; texts stand pole by pole, as many of each. */
class Judge {
  /** Rows that are not the first of a text. */
  private readonly rows: number[] = [];
  private readonly last: Int32Array;

  constructor(
    { lengths, length, ...rest }: TokenBatch,
    private readonly hidden: number,
  ) {
    const { place, positions } = distinctBeginnings({ lengths, length, ...rest });
    for (const [row, position] of positions.entries()) if (position > 0) this.rows.push(row);
    this.last = lengths.map((n, text) => place[text * length + n - 1]);
  }

  layer(exact: Float32Array, reduced: Float32Array): Omit<PrecisionError['layers'][number], 'layer'> {
    const { hidden } = this;
    const norms = this.rows.map((row) => Math.sqrt(squaredDistance(exact, row * hidden, ORIGIN, 0, hidden)));
    const threshold = SINK_RATIO * median(Float64Array.from(norms));
    const content = this.rows.filter((_, i) => norms[i] <= threshold);
    const mean = meanRow(exact, content, hidden);
    const errors = Float64Array.from(content, (row) =>
      Math.sqrt(
        squaredDistance(exact, row * hidden, reduced, row * hidden, hidden) /
          squaredDistance(exact, row * hidden, mean, 0, hidden),
      ),
    );
    const both = (figure: (states: Float64Array[]) => number): Moved => ({
      fp32: figure(this.centred(exact)),
      reduced: figure(this.centred(reduced)),
    });
    return {
      median: median(errors),
      worst: errors.reduce((a, b) => Math.max(a, b), 0),
      opposedCosine: both(opposedCosine),
      separation: both(separation),
    };
  }

  /** Last-token states of the texts without their mean. */
  private centred(states: Float32Array): Float64Array[] {
    const mean = meanRow(states, [...this.last], this.hidden);
    return Array.from(this.last, (row) => mean.map((m, i) => states[row * this.hidden + i] - m));
  }
}

const ORIGIN = new Float64Array();

/** |a[i ..] - b[j ..]|^2 over n numbers; what lies beyond an array's end is 0. */
function squaredDistance(
  a: Float32Array | Float64Array,
  i: number,
  b: Float32Array | Float64Array,
  j: number,
  n: number,
): number {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += (a[i + k] - (b[j + k] ?? 0)) ** 2;
  return sum;
}

function meanRow(states: Float32Array, rows: readonly number[], hidden: number): Float64Array {
  const mean = new Float64Array(hidden);
  for (const row of rows) for (let i = 0; i < hidden; i++) mean[i] += states[row * hidden + i] / rows.length;
  return mean;
}

function opposedCosine(states: Float64Array[]): number {
  const each = states.length / POLES.length;
  const prototypes = POLES.map((_, pole) => sum(states.slice(pole * each, (pole + 1) * each)));
  let total = 0;
  for (let pole = 0; pole < POLES.length; pole += 2) {
    const [virtue, vice] = [prototypes[pole], prototypes[pole + 1]];
    total += dot(virtue, vice) / Math.sqrt(dot(virtue, virtue) * dot(vice, vice));
  }
  return total / (POLES.length / 2);
}

/** AUC of the states along mean virtue - mean vice, each state left out of its own mean. */
function separation(states: Float64Array[]): number {
  const approved = isVirtue(states.length);
  const each = states.length / 2;
  const sums = [true, false].map((kind) => sum(states.filter((_, i) => approved[i] === kind)));
  const scores = states.map((state, i) => {
    const [own, other] = approved[i] ? sums : sums.toReversed();
    const towards = (dot(state, own) - dot(state, state)) / (each - 1) - dot(state, other) / each;
    return approved[i] ? towards : -towards;
  });
  return auc(scores);
}

/** Share of pairs of a virtue and a vice in which the virtue's score is the higher one. */
function auc(scores: ArrayLike<number>): number {
  const approved = isVirtue(scores.length);
  const [virtues, vices] = [true, false].map((kind) => Array.from(scores).filter((_, i) => approved[i] === kind));
  const won = virtues.flatMap((a) => vices.map((b): number => (a > b ? 1 : a < b ? 0 : 0.5)));
  return won.reduce((x, y) => x + y, 0) / won.length;
}

/** Of each text whether its pole is a virtue. */
function isVirtue(texts: number): boolean[] {
  return Array.from({ length: texts }, (_, i) => Math.floor((i * POLES.length) / texts) % 2 === 0);
}

function sum(states: readonly Float64Array[]): Float64Array {
  return states[0].map((_, i) => states.reduce((total, state) => total + state[i], 0));
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((total, value, i) => total + value * b[i], 0);
}

function divergence(exact: Float32Array, reduced: Float32Array, vocabulary: number): PrecisionError['nextToken'] {
  const kl = Float64Array.from({ length: exact.length / vocabulary }, (_, text) => {
    const at = text * vocabulary;
    const [p, q] = [logSumExp(exact, at, vocabulary), logSumExp(reduced, at, vocabulary)];
    let total = 0;
    for (let v = at; v < at + vocabulary; v++) total += Math.exp(exact[v] - p) * (exact[v] - p - (reduced[v] - q));
    return total;
  });
  return { meanKl: kl.reduce((a, b) => a + b, 0) / kl.length, worstKl: kl.reduce((a, b) => Math.max(a, b), 0) };
}

function readoutShift(
  exact: Float32Array,
  reduced: Float32Array,
  vocabulary: number,
  pairs: readonly (readonly [number, number])[],
): PrecisionError['readout'] {
  const odds = (logits: Float32Array) =>
    Float64Array.from({ length: logits.length / vocabulary }, (_, text) => {
      const [virtues, vices] = [0, 1].map((side) => Float32Array.from(pairs, (pair) => logits[text * vocabulary + pair[side]]));
      return logSumExp(virtues, 0, virtues.length) - logSumExp(vices, 0, vices.length);
    });
  const [a, b] = [odds(exact), odds(reduced)];
  const shifts = b.map((value, i) => value - a[i]);
  const mean = (values: Float64Array) => values.reduce((x, y) => x + y, 0) / values.length;
  return {
    pairs: pairs.length,
    meanShift: mean(shifts),
    shift: mean(shifts.map(Math.abs)),
    auc: { fp32: auc(a), reduced: auc(b) },
  };
}
