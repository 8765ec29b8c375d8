import { setImmediate as breathe } from 'node:timers/promises';
import { BATCH_ROWS, byBeginning, cutIntoBatches, padBatch, type TokenisedTexts } from '../activations/batches.js';
import { logOdds } from '../diagnosis/readout.js';
import { throwIfCancelled } from '../errors.js';
import type { Steering } from '../model/steering.js';
import { distinctBeginnings, type TokenBatch, takeRows } from '../model/token-rows.js';
import type { WorkOptions } from '../progress.js';
import type { TwoParts } from './steered-sessions.js';

/** Rows that are read once where every run then computes last tokens alone: enough texts for the products to be near their peak. */
const LAST_ROWS = 4 * BATCH_ROWS;

export interface SteeredReadoutOptions extends WorkOptions {
  /** With the interventions' shapes and the logits of the antonyms alone. */
  parts: TwoParts;
  tokens: TokenisedTexts;
  /** The antonyms, as indices among the logits, virtue first. */
  pairs: readonly (readonly [number, number])[];
  /** What is done to the model, run by run; made anew for every batch, since an arm may be large. */
  runs: readonly (() => Steering | undefined)[];
  /** Tokens that are changed: the runs' interventions are for the same. */
  positions: 'all' | 'last';
  /** What the work is called in progress. */
  task: string;
}

/**
 * The readout of every text (log-odds of approving words, nats) under every run: the same batches, the same padding. What no run changes
 * is computed once for all: the blocks below the first intervention, and, where last tokens alone are changed, all that stands before them.
 * @returns one array [texts] a run
 */
export async function steeredReadout(options: SteeredReadoutOptions): Promise<Float64Array[]> {
  const { tokens, runs, positions, pairs, task, onProgress, signal } = options;
  const width = options.parts.above.compiled.logitTokens!.length;
  const texts = tokens.offsets.length - 1;
  const odds = runs.map(() => new Float64Array(texts));
  const order = byBeginning(tokens);
  let done = 0;
  const total = texts * runs.length;
  const { logitsUnder, rows } = {
    last: { logitsUnder: lastTokens, rows: LAST_ROWS },
    all: { logitsUnder: wholeTexts, rows: BATCH_ROWS },
  }[positions];
  for (const batch of cutIntoBatches(tokens, order, rows)) {
    const padded = padBatch(tokens, batch);
    const logitsOf = await logitsUnder(padded, options.parts);
    for (const [run, steering] of runs.entries()) {
      await breathe();
      throwIfCancelled(signal);
      onProgress?.({ task, done, total, unit: 'texts' });
      // The log of the sum over the vocabulary is in both words' log-probabilities, and not in their difference.
      const found = logOdds(await logitsOf(steering()), width, pairs);
      batch.forEach((text, i) => {
        odds[run][text] = found[i];
      });
      done += batch.length;
    }
  }
  onProgress?.({ task, done: total, total, unit: 'texts' });
  return odds;
}

/** Logits after each text of a batch, [texts, width]. */
type LogitsOf = (steering: Steering | undefined) => Promise<Float32Array>;

async function wholeTexts(batch: TokenBatch, { below, above }: TwoParts): Promise<LogitsOf> {
  const given = (await below.run(batch)).residuals[0].slice();
  return async (steering) => (await above.prefill(above.cache(), batch, steering, { given })).logits!;
}

/** Reads all but each text's last token once; a run is then a step that is taken back. */
async function lastTokens(batch: TokenBatch, { below, above }: TwoParts): Promise<LogitsOf> {
  const { hidden, logitTokens } = above.compiled;
  const width = logitTokens!.length;
  const { ids, lengths, length } = batch;
  const { residuals, place } = await below.run(batch);
  const states = residuals[0].slice();
  const logits = new Float32Array(batch.batch * width);
  const put = (texts: Int32Array, found: Float32Array) => {
    texts.forEach((text, i) => {
      logits.set(found.subarray(i * width, (i + 1) * width), text * width);
    });
  };
  /** Some texts' tokens up to these counts, with their states. */
  const beginnings = (texts: Int32Array, counts: Int32Array) => {
    const longest = counts.reduce((a, b) => Math.max(a, b), 1);
    const some = { ids: new Int32Array(texts.length * longest), lengths: counts, batch: texts.length, length: longest };
    texts.forEach((text, i) => {
      some.ids.set(ids.subarray(text * length, text * length + counts[i]), i * longest);
    });
    const { first } = distinctBeginnings(some);
    const rows = first.map((at) => place[texts[Math.floor(at / longest)] * length + (at % longest)]);
    return { some, given: takeRows(states, hidden, rows) };
  };
  const positions = Int32Array.from(lengths.keys());
  // A text of one token has nothing before its last, and a first token is never changed.
  const single = positions.filter((text) => lengths[text] === 1);
  if (single.length > 0) {
    const { some, given } = beginnings(single, new Int32Array(single.length).fill(1));
    put(single, (await above.prefill(above.cache(), some, undefined, { given })).logits!);
  }
  const several = positions.filter((text) => lengths[text] > 1);
  if (several.length === 0) return async () => logits;
  const counts = several.map((text) => lengths[text] - 1);
  const cache = above.cache(1);
  const { some, given } = beginnings(several, counts);
  await above.prefill(cache, some, undefined, { given });
  const ends = several.map((text) => text * length + lengths[text] - 1);
  const last = ends.map((at) => ids[at]);
  const lastStates = takeRows(
    states,
    hidden,
    ends.map((at) => place[at]),
  );
  return async (steering) => {
    put(several, (await above.step(cache, last, steering, { given: lastStates })).logits!);
    counts.forEach((tokens, text) => {
      cache.truncate(text, tokens);
    });
    return logits;
  };
}
