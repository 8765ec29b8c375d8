import { setImmediate as breathe } from 'node:timers/promises';
import {
  byBeginning,
  cutIntoBatches,
  padBatch,
  rowsWithLogits,
  type TokenisedTexts,
  tokenise,
} from '../../activations/batches.js';
import { MoralscopeError, throwIfCancelled } from '../../errors.js';
import type { MatMul } from '../../graph/matmul.js';
import { DecoderSession } from '../../model/decoder-session.js';
import type { LanguageModel } from '../../model/language-model.js';
import type { Precision } from '../../model/precision.js';
import { formatSite, type Site } from '../../model/site.js';
import { type TokenBatch, takeRows } from '../../model/token-rows.js';
import type { WorkOptions } from '../../progress.js';
import type { SparseAutoencoder } from '../architecture.js';
import { SaeEncoder } from '../encoder.js';
import { isLong } from '../states.js';
import { baselinesFor } from './baselines.js';
import { type Moments, momentsOf } from './moments.js';
import { NextTokens } from './next-token.js';
import { ABLATIONS, type Ablation, ARMS, type Arm, type EvalFigure, type Splice } from './schema.js';
import type { StateBlock, StateStream } from './state-stream.js';
import { type SumStatistic, TextSums } from './text-sums.js';

export interface SpliceOptions extends WorkOptions {
  model: LanguageModel;
  precision: Precision;
  /** Texts as the model reads them. */
  texts: readonly string[];
  /** What they are, for the reader. */
  source: string;
  maxTokens: number;
  site: Site;
  sinkThreshold: number;
  sae: SparseAutoencoder;
  bootstraps: number;
  seed: number;
  threads?: number | undefined;
}

/** A batch of texts with the rows that a change may touch. */
interface Prepared {
  batch: TokenBatch;
  /** Position of each text of the batch among all. */
  texts: Int32Array;
  /** The row of each token, [batch, length]. */
  place: Int32Array;
  /** [rows, hidden] */
  states: Float32Array;
  /** Rows whose tokens are no sinks. */
  content: Int32Array;
}

/**
 * What the model loses when the states of a site are replaced: by their reconstructions (the autoencoder's and the baselines'),
 * by zeros, by their mean.
 *
 * Every text is run by itself. A token counts if it is not the first of its text: its cross-entropy is -log p(token | the tokens
 * before it), its divergence KL(p || q) between the untouched and the changed distribution that predict it, nats. Means are over
 * all such tokens of all texts; texts that begin alike share computed rows, but each of their tokens counts. States of sink
 * tokens (the first of each text, and those longer than the threshold) are left as they are in every arm and in both ablations.
 * The mean is that of the very states that are replaced, over all tokens; the baselines are fitted on them too.
 *
 * @throws MoralscopeError `bad-data` where there is no token to predict or to change; `cancelled`; what `compile` throws
 */
export async function spliceFigures(options: SpliceOptions, matmul: MatMul): Promise<Splice> {
  const { model, precision, site, maxTokens, seed, threads, onProgress, signal } = options;
  const tokenised = await tokenise(options.texts, model.tokenizer, Math.min(maxTokens, model.spec.context), signal);
  const lengths = Int32Array.from(options.texts, (_, text) => tokenised.offsets[text + 1] - tokenised.offsets[text]);
  const long = Int32Array.from(lengths.keys()).filter((text) => lengths[text] > 1);
  const predicted = long.reduce((sum, text) => sum + lengths[text] - 1, 0);
  if (predicted === 0)
    throw new MoralscopeError(
      'bad-data',
      'The texts to splice on hold no token to predict.',
      'Give texts of two tokens or more.',
    );
  const rows = rowsWithLogits(model.spec.vocabulary);
  const batches = cutIntoBatches(tokenised, byBeginning(tokenised, long), rows);
  const name = formatSite(site);
  const work = { onProgress, signal };
  const threshold = options.sinkThreshold;

  const lower = await DecoderSession.open(await model.compile({ sites: [name], precision, ...work }), { threads });
  const states = new SplicedStates(lower, tokenised, batches, threshold, options);
  let moments: Moments;
  try {
    moments = await momentsOf(states, matmul);
  } finally {
    await lower.close();
  }

  const encoders: Partial<Record<Arm, SaeEncoder>> = {};
  const sessions: DecoderSession[] = [];
  try {
    const own = await SaeEncoder.open(options.sae, threads, signal);
    encoders.sae = own;
    const baselines = await baselinesFor(own, moments, { seed, threads, signal });
    encoders.random = await SaeEncoder.open(baselines.random, threads, signal);
    encoders.pca = await SaeEncoder.open(baselines.pca, threads, signal);
    const whole = await DecoderSession.open(await model.compile({ sites: [name], logits: 'all', precision, ...work }), {
      threads,
    });
    sessions.push(whole);
    const upper = await DecoderSession.open(await model.compile({ sites: [], given: name, logits: 'all', precision, ...work }), {
      threads,
    });
    sessions.push(upper);
    const sums = new TextSums<Column>(COLUMNS, options.texts.length);
    let probabilities = new Float32Array(0);
    let done = 0;
    for (const texts of batches) {
      await breathe();
      throwIfCancelled(signal);
      onProgress?.({ task: 'splice', done, total: long.length, unit: 'texts' });
      const batch = padBatch(tokenised, texts);
      const run = await whole.run(batch);
      const prepared = prepare(texts, batch, run.place, run.residuals[0].slice(), threshold);
      if (probabilities.length < run.logits!.length) probabilities = new Float32Array(run.logits!.length);
      const next = new NextTokens(run.logits!, model.spec.vocabulary, predictors(prepared), probabilities);
      addOriginal(sums, prepared, next, run.logits!, model.spec.vocabulary);
      for (const change of CHANGES) {
        throwIfCancelled(signal);
        const given = await changed(prepared, change, moments.mean, encoders);
        const { logits } = await upper.run(batch, { given });
        addChanged(sums, prepared, change, next, logits!, model.spec.vocabulary);
      }
      done += texts.length;
    }
    onProgress?.({ task: 'splice', done, total: long.length, unit: 'texts' });
    const { figures, tokens } = summarise(sums, options);
    return {
      source: options.source,
      texts: long.length,
      truncated: tokenised.truncated,
      tokens,
      predicted,
      ...figures,
    };
  } finally {
    for (const session of sessions) await session.close();
    for (const encoder of Object.values(encoders)) await encoder.close();
  }
}

/** The states that are replaced, token by token, each as often as it occurs. */
class SplicedStates implements StateStream {
  readonly texts: number;
  readonly about: number;
  readonly hidden: number;

  constructor(
    private readonly session: DecoderSession,
    private readonly tokenised: TokenisedTexts,
    private readonly batches: readonly Int32Array[],
    private readonly threshold: number,
    private readonly work: WorkOptions,
  ) {
    this.texts = tokenised.offsets.length - 1;
    this.about = tokenised.ids.length;
    this.hidden = session.compiled.hidden;
  }

  async *blocks(): AsyncGenerator<StateBlock> {
    let done = 0;
    for (const texts of this.batches) {
      await breathe();
      throwIfCancelled(this.work.signal);
      this.work.onProgress?.({ task: 'states to splice', done, total: this.texts, unit: 'texts' });
      const batch = padBatch(this.tokenised, texts);
      const { residuals, place } = await this.session.run(batch);
      const prepared = prepare(texts, batch, place, residuals[0], this.threshold);
      const isContent = new Uint8Array(prepared.states.length / this.hidden);
      for (const row of prepared.content) isContent[row] = 1;
      const rows: number[] = [];
      const text: number[] = [];
      eachToken(prepared, (row, at) => {
        if (isContent[row] === 0) return;
        rows.push(row);
        text.push(texts[Math.floor(at / batch.length)]);
      });
      yield { states: takeRows(prepared.states, this.hidden, Int32Array.from(rows)), text: Int32Array.from(text) };
      done += texts.length;
    }
    this.work.onProgress?.({ task: 'states to splice', done, total: done, unit: 'texts' });
  }
}

/** Finds the sinks: a row is one token or several alike, all at the same position. */
export function prepare(
  texts: Int32Array,
  batch: TokenBatch,
  place: Int32Array,
  states: Float32Array,
  threshold: number,
): Prepared {
  const rows = place.reduce((most, row) => Math.max(most, row), -1) + 1;
  const hidden = states.length / rows;
  const sink = new Uint8Array(rows);
  for (let text = 0; text < batch.batch; text++) sink[place[text * batch.length]] = 1;
  const content = Int32Array.from(sink.keys()).filter((row) => sink[row] === 0 && !isLong(states, row, threshold, hidden));
  return { batch, texts, place, states, content };
}

const CHANGES: readonly (Arm | Ablation)[] = [...ARMS, ...ABLATIONS];

/** The states of a batch with those of its content rows replaced, [rows, hidden]. */
async function changed(
  { states, content }: Prepared,
  change: Arm | Ablation,
  mean: Float64Array,
  encoders: Partial<Record<Arm, SaeEncoder>>,
): Promise<Float32Array> {
  const hidden = mean.length;
  const given = states.slice();
  if (change === 'zero') for (const row of content) given.fill(0, row * hidden, (row + 1) * hidden);
  else if (change === 'mean') for (const row of content) given.set(mean, row * hidden);
  else if (content.length > 0) {
    const back = await encoders[change]!.reconstruct(takeRows(states, hidden, content), content.length);
    content.forEach((row, i) => {
      given.set(back.subarray(i * hidden, (i + 1) * hidden), row * hidden);
    });
  }
  return given;
}

const COLUMNS = [
  'predicted',
  'tokens',
  'untouched',
  'original',
  ...CHANGES.flatMap((change) => [`${change}/ce`, `${change}/kl`] as const),
] as const;
type Column = (typeof COLUMNS)[number];

/** Every token of a batch: its row and its place. */
function eachToken({ batch, place }: Prepared, visit: (row: number, at: number) => void): void {
  for (let text = 0; text < batch.batch; text++)
    for (let at = text * batch.length; at < text * batch.length + batch.lengths[text]; at++) visit(place[at], at);
}

/** Every token that is predicted: the row that predicts it, its id, and the text's place among all. */
function eachPredicted({ batch, place, texts }: Prepared, visit: (row: number, id: number, text: number) => void): void {
  for (let text = 0; text < batch.batch; text++)
    for (let at = text * batch.length; at < text * batch.length + batch.lengths[text] - 1; at++)
      visit(place[at], batch.ids[at + 1], texts[text]);
}

/** Rows that predict a token. */
function predictors(prepared: Prepared): Int32Array {
  const rows = new Set<number>();
  eachPredicted(prepared, (row) => rows.add(row));
  return Int32Array.from(rows);
}

function addOriginal(
  sums: TextSums<Column>,
  prepared: Prepared,
  next: NextTokens,
  logits: Float32Array,
  vocabulary: number,
): void {
  const content = new Set(prepared.content);
  eachToken(prepared, (row, at) => {
    const text = prepared.texts[Math.floor(at / prepared.batch.length)];
    sums.addTo(text, 'tokens', 1);
    if (!content.has(row)) sums.addTo(text, 'untouched', 1);
  });
  eachPredicted(prepared, (row, id, text) => {
    sums.addTo(text, 'predicted', 1);
    sums.addTo(text, 'original', next.totalOf(row) - logits[row * vocabulary + id]);
  });
}

function addChanged(
  sums: TextSums<Column>,
  prepared: Prepared,
  change: Arm | Ablation,
  next: NextTokens,
  logits: Float32Array,
  vocabulary: number,
): void {
  const known = new Map<number, { total: number; kl: number }>();
  eachPredicted(prepared, (row, id, text) => {
    let found = known.get(row);
    if (!found) {
      found = next.against(logits, row);
      known.set(row, found);
    }
    sums.addTo(text, `${change}/ce`, found.total - logits[row * vocabulary + id]);
    sums.addTo(text, `${change}/kl`, found.kl);
  });
}

type Sums = Readonly<Record<Column, number>>;

/** All figures of the sums, each with its interval. */
function summarise(sums: TextSums<Column>, { bootstraps, seed }: SpliceOptions) {
  const statistics: Record<string, SumStatistic<Column>> = {
    untouched: { of: (s) => s.untouched / s.tokens, whyEmpty: 'no token', bounds: [0, 1] },
    original: { of: (s) => s.original / s.predicted, whyEmpty: 'no token', bounds: [0, Number.POSITIVE_INFINITY] },
  };
  const loses = (a: Ablation) => (s: Sums) => s[`${a}/ce`] - s.original;
  for (const change of CHANGES)
    for (const part of ['ce', 'kl'] as const)
      statistics[`${change}/${part}`] = {
        of: (s) => s[`${change}/${part}`] / s.predicted,
        whyEmpty: 'the changed model gives numbers that are none',
        bounds: [0, Number.POSITIVE_INFINITY],
      };
  for (const arm of ARMS)
    for (const a of ABLATIONS) {
      statistics[`${arm}/${a}/ceRecovered`] = {
        of: (s) => (loses(a)(s) > 0 ? (s[`${a}/ce`] - s[`${arm}/ce`]) / loses(a)(s) : Number.NaN),
        whyEmpty: `the ${a} ablation costs no cross-entropy that could be recovered`,
      };
      statistics[`${arm}/${a}/klScore`] = {
        of: (s) => (s[`${a}/kl`] > 0 ? (s[`${a}/kl`] - s[`${arm}/kl`]) / s[`${a}/kl`] : Number.NaN),
        whyEmpty: `the ${a} ablation changes nothing`,
        bounds: [Number.NEGATIVE_INFINITY, 1],
      };
    }
  const found: Record<string, EvalFigure> = sums.figures(statistics, { bootstraps, seed });
  const loss = (change: Arm | Ablation) => ({ ce: found[`${change}/ce`], kl: found[`${change}/kl`] });
  const recovered = (arm: Arm, a: Ablation) => ({
    ceRecovered: found[`${arm}/${a}/ceRecovered`],
    klScore: found[`${arm}/${a}/klScore`],
  });
  const arm = (name: Arm) => ({ ...loss(name), zero: recovered(name, 'zero'), mean: recovered(name, 'mean') });
  return {
    tokens: sums.totals().tokens,
    figures: {
      untouched: found.untouched,
      original: { ce: found.original },
      ablations: { zero: loss('zero'), mean: loss('mean') },
      arms: { sae: arm('sae'), random: arm('random'), pca: arm('pca') },
    },
  };
}
