/** @file How far a model in reduced precision is from itself in fp32, on a fixed set of texts. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { padBatch, tokenise } from '../activations/batches.js';
import { SINK_RATIO, wordPairs } from '../activations/calibration.js';
import { median } from '../activations/pooling.js';
import {
  LAYER_FIGURES,
  type LayerFigure,
  type MeasurePrecision,
  type Moved,
  PrecisionError,
} from '../activations/precision-error.js';
import { DEFAULT_TEMPLATE, fillTemplate } from '../activations/template.js';
import { sha256, writeFileAtomic } from '../artifact/files.js';
import { throwIfCancelled } from '../errors.js';
import { MatMul } from '../graph/matmul.js';
import { DecoderSession } from '../model/decoder-session.js';
import { logSumExp } from '../model/log-sum-exp.js';
import { distinctBeginnings, type TokenBatch, takeRows } from '../model/token-rows.js';
import type { WorkOptions } from '../progress.js';
import { ProbeFigures } from './probe-figures.js';
import { PROBE } from './probe-texts.js';
import { logOdds } from './readout.js';
import { columnMeans, type States } from './states.js';

/** Few, because a run holds its thread from end to end. */
const TEXTS_OF_A_RUN = 12;
/** Every fourth text is compared token by token, the others by their last one: the states of all layers wait for those of fp32. */
const WHOLE = 4;

/**
 * What the precision costs this model: measured when it is first asked for, and kept beside the compiled graph, for its tokenizer. The states of
 * fp32 are computed block by block, so that models are judged whose fp32 graph would not fit this machine.
 * @throws MoralscopeError `disk`, `cancelled`
 */
export const precisionError: MeasurePrecision = async (model, precision, { threads, ...work } = {}) => {
  const texts = PROBE.texts.map((action) => fillTemplate(DEFAULT_TEMPLATE, action));
  const probe = sha256(JSON.stringify([DEFAULT_TEMPLATE, PROBE.sha256]));
  const compiled = await model.compile({ precision, logits: 'last', ...work });
  const path = join(dirname(compiled.graph), `precision-error-${model.tokenizer.sha256.slice(0, 16)}.json`);
  const kept = await readFile(path, 'utf8')
    .then((text) => PrecisionError.safeParse(JSON.parse(text)).data)
    .catch(() => undefined);
  if (kept?.probe === probe && kept.precision === precision) return kept;

  const tokens = await tokenise(texts, model.tokenizer, 128, work.signal);
  const batch = padBatch(tokens, Int32Array.from(texts.keys()));
  const compared = new ComparedRows(batch, compiled.hidden);
  const session = await DecoderSession.open(compiled, { threads });
  const reduced = await runInTurns(session, batch, compared, work).finally(() => session.close());
  const matmul = await MatMul.open(threads, work.signal);
  try {
    const figures = new ProbeFigures(PROBE, matmul);
    const layers: PrecisionError['layers'] = [];
    let logits!: Float32Array;
    for await (const exact of model.exactStates(compiled, batch, { threads, ...work })) {
      const layer = layers.length;
      if (layer < compiled.sites.length) {
        const both = [compared.of(exact), reduced.residuals[layer]] as const;
        const [a, b] = [await figures.ofLayer(compared.last(both[0])), await figures.ofLayer(compared.last(both[1]))];
        layers.push({ layer, ...compared.errors(...both), figures: moved(a, b) });
      } else logits = exact;
    }
    const pairs = wordPairs(model.tokenizer, DEFAULT_TEMPLATE);
    const odds = (of: Float32Array) => logOdds(of, compiled.vocabulary, pairs);
    const error: PrecisionError = {
      version: 2,
      precision,
      probe,
      texts: texts.length,
      layers,
      nextToken: divergence(logits, reduced.logits, compiled.vocabulary),
      readout: pairs.length > 0 ? readoutShift(figures, odds(logits), odds(reduced.logits), pairs.length) : null,
    };
    await writeFileAtomic(path, `${JSON.stringify(error, null, 1)}\n`);
    return error;
  } finally {
    await matmul.close();
  }
};

/** States of the rows that are compared and logits of the texts, run a few at a time: between runs a signal gets its turn. */
async function runInTurns(
  session: DecoderSession,
  batch: TokenBatch,
  compared: ComparedRows,
  { onProgress, signal }: WorkOptions,
): Promise<{ residuals: Float32Array[]; logits: Float32Array }> {
  const { sites, hidden, vocabulary, precision } = session.compiled;
  const { ids, lengths, batch: total, length } = batch;
  const residuals = sites.map(() => new Float32Array(compared.count * hidden));
  const logits = new Float32Array(total * vocabulary);
  for (let from = 0; from < total; from += TEXTS_OF_A_RUN) {
    onProgress?.({ task: `${precision} for comparison`, done: from, total, unit: 'texts' });
    await breathe();
    throwIfCancelled(signal);
    const to = Math.min(total, from + TEXTS_OF_A_RUN);
    const [begin, end] = [from * length, to * length];
    const part = { ids: ids.subarray(begin, end), lengths: lengths.subarray(from, to), batch: to - from, length };
    const run = await session.run(part);
    for (const [at, row] of run.place.entries()) {
      const to = compared.indexOf(begin + at);
      if (to === undefined) continue;
      for (const [site, states] of run.residuals.entries())
        residuals[site].set(states.subarray(row * hidden, (row + 1) * hidden), to * hidden);
    }
    logits.set(run.logits!, from * vocabulary);
  }
  return { residuals, logits };
}

/** The rows of a batch, of those that `distinctBeginnings` gives it, that are held in both precisions. */
class ComparedRows {
  private readonly rows: Int32Array;
  /** By row of the batch, where it stands among these. */
  private readonly index = new Map<number, number>();
  /** Row of each token of the batch. */
  private readonly place: Int32Array;
  /** Where those stand here that belong to a text compared token by token and are not its first. */
  private readonly inner: number[];
  /** Where the last token of each text stands. */
  private readonly ends: Int32Array;

  constructor(
    batch: TokenBatch,
    private readonly hidden: number,
  ) {
    const { place, positions } = distinctBeginnings(batch);
    const { lengths, length } = batch;
    const whole = new Set<number>();
    const ends = lengths.map((n, text) => place[text * length + n - 1]);
    for (let text = 0; text < batch.batch; text += WHOLE)
      for (const row of place.subarray(text * length, text * length + lengths[text])) whole.add(row);
    this.place = place;
    this.rows = Int32Array.from(new Set([...whole, ...ends])).sort();
    for (const [i, row] of this.rows.entries()) this.index.set(row, i);
    this.inner = [...whole].filter((row) => positions[row] > 0).map((row) => this.index.get(row)!);
    this.ends = ends.map((row) => this.index.get(row)!);
  }

  get count(): number {
    return this.rows.length;
  }

  /** Where the row of token `at` of the batch stands; undefined: it is not held. */
  indexOf(at: number): number | undefined {
    return this.index.get(this.place[at]);
  }

  /** These of the states of all rows. */
  of(states: Float32Array): Float32Array {
    return takeRows(states, this.hidden, this.rows);
  }

  /** Last-token states of the texts. */
  last(held: Float32Array): States {
    return { n: this.ends.length, d: this.hidden, data: takeRows(held, this.hidden, this.ends) };
  }

  /** |error| / |state - mean state| over the tokens of the texts held whole that are neither first nor sinks. */
  errors(exact: Float32Array, reduced: Float32Array): { median: number; worst: number } {
    const { hidden, inner } = this;
    const norms = inner.map((at) => Math.sqrt(squaredDistance(exact, at * hidden, ORIGIN, 0, hidden)));
    const threshold = SINK_RATIO * median(Float64Array.from(norms));
    const content = Int32Array.from(inner.filter((_, i) => norms[i] <= threshold));
    const mean = columnMeans({ n: content.length, d: hidden, data: takeRows(exact, hidden, content) });
    const errors = Float64Array.from(content, (at) =>
      Math.sqrt(
        squaredDistance(exact, at * hidden, reduced, at * hidden, hidden) / squaredDistance(exact, at * hidden, mean, 0, hidden),
      ),
    );
    return { worst: errors.reduce((a, b) => Math.max(a, b), 0), median: median(errors) };
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

type Figures = Record<LayerFigure, number | null>;

function moved(fp32: Figures, reduced: Figures): Record<LayerFigure, Moved> {
  const both = LAYER_FIGURES.map((figure) => [figure, { fp32: fp32[figure], reduced: reduced[figure] }]);
  return Object.fromEntries(both) as Record<LayerFigure, Moved>;
}

function divergence(exact: Float32Array, reduced: Float32Array, vocabulary: number): PrecisionError['nextToken'] {
  const kl = Float64Array.from({ length: exact.length / vocabulary }, (_, text) => {
    const at = text * vocabulary;
    const [p, q] = [logSumExp(exact, at, vocabulary), logSumExp(reduced, at, vocabulary)];
    let total = 0;
    for (let v = at; v < at + vocabulary; v++) total += Math.exp(exact[v] - p) * (exact[v] - p - (reduced[v] - q));
    return total;
  });
  return { meanKl: mean(kl), worstKl: kl.reduce((a, b) => Math.max(a, b), 0) };
}

function readoutShift(
  figures: ProbeFigures,
  exact: Float64Array,
  reduced: Float64Array,
  pairs: number,
): NonNullable<PrecisionError['readout']> {
  const [a, b] = [figures.ofReadout(exact), figures.ofReadout(reduced)];
  return {
    pairs,
    shift: mean(exact.map((odds, i) => Math.abs(reduced[i] - odds))),
    auc: { fp32: a.auc, reduced: b.auc },
    spearman: { fp32: a.spearman, reduced: b.spearman },
    bias: { fp32: a.bias, reduced: b.bias },
  };
}

const mean = (values: Float64Array) => values.reduce((a, b) => a + b, 0) / values.length;
