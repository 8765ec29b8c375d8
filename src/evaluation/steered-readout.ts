import { setImmediate as breathe } from 'node:timers/promises';
import { byBeginning, cutIntoBatches, padBatch, type TokenisedTexts } from '../activations/batches.js';
import { logOdds } from '../diagnosis/readout.js';
import { throwIfCancelled } from '../errors.js';
import type { DecodingSession } from '../model/decoding-session.js';
import type { Steering } from '../model/steering.js';
import type { TokenBatch } from '../model/token-rows.js';
import type { WorkOptions } from '../progress.js';

/** Rows of a batch. */
const BATCH_ROWS = 1024;

export interface SteeredReadoutOptions extends WorkOptions {
  /** Of a decoder with the interventions' shapes and the logits of last tokens. */
  session: DecodingSession;
  tokens: TokenisedTexts;
  /** Token ids of the antonyms, virtue first. */
  words: readonly (readonly [number, number])[];
  /** What is done to the model, run by run; made anew for every batch, since an arm may be large. */
  runs: readonly (() => Steering | undefined)[];
  /** Tokens that are changed: the runs' interventions are for the same. */
  positions: 'all' | 'last';
  /** What the work is called in progress. */
  task: string;
}

/**
 * The readout of every text (log-odds of approving words, nats) under every run: the same batches, the same padding. Where only last
 * tokens are changed, what stands before them is computed once for all runs.
 * @returns one array [texts] a run
 */
export async function steeredReadout(options: SteeredReadoutOptions): Promise<Float64Array[]> {
  const { tokens, runs, positions, task, onProgress, signal } = options;
  const { vocabulary } = options.session.compiled;
  const texts = tokens.offsets.length - 1;
  const odds = runs.map(() => new Float64Array(texts));
  const rows = Math.max(1, Math.min(BATCH_ROWS, Math.floor((1 << 25) / vocabulary)));
  const batches = cutIntoBatches(
    tokens,
    byBeginning(
      tokens,
      Int32Array.from({ length: texts }, (_, text) => text),
    ),
    BATCH_ROWS,
  )
    // Each text has a row of logits.
    .flatMap((batch) =>
      Array.from({ length: Math.ceil(batch.length / rows) }, (_, i) => batch.subarray(i * rows, (i + 1) * rows)),
    );
  let done = 0;
  const total = texts * runs.length;
  for (const batch of batches) {
    const padded = padBatch(tokens, batch);
    const logitsOf = positions === 'last' ? await lastTokens(padded, options) : wholeTexts(padded, options);
    for (const [run, steering] of runs.entries()) {
      await breathe();
      throwIfCancelled(signal);
      onProgress?.({ task, done, total, unit: 'texts' });
      const found = logOdds(await logitsOf(steering()), vocabulary, options.words);
      batch.forEach((text, i) => {
        odds[run][text] = found[i];
      });
      done += batch.length;
    }
  }
  onProgress?.({ task, done: total, total, unit: 'texts' });
  return odds;
}

type LogitsOf = (steering: Steering | undefined) => Promise<Float32Array>;

function wholeTexts(batch: TokenBatch, { session }: SteeredReadoutOptions): LogitsOf {
  return async (steering) => (await session.prefill(session.cache(), batch, steering)).logits!;
}

/** Reads all but each text's last token once; a run is then a step that is taken back. */
async function lastTokens(batch: TokenBatch, { session }: SteeredReadoutOptions): Promise<LogitsOf> {
  const { vocabulary } = session.compiled;
  const { ids, lengths, length } = batch;
  // A text of one token has nothing before its last, and a first token is never changed.
  const [single, several] = [1, 2].map((least) =>
    Int32Array.from(lengths.keys()).filter((text) => (least === 1 ? lengths[text] === 1 : lengths[text] > 1)),
  );
  const logits = new Float32Array(batch.batch * vocabulary);
  const put = (texts: Int32Array, found: Float32Array) => {
    texts.forEach((text, i) => {
      logits.set(found.subarray(i * vocabulary, (i + 1) * vocabulary), text * vocabulary);
    });
  };
  const lastOf = (texts: Int32Array) => texts.map((text) => ids[text * length + lengths[text] - 1]);
  if (single.length > 0) {
    const alone = { ids: lastOf(single), lengths: single.map(() => 1), batch: single.length, length: 1 };
    put(single, (await session.prefill(session.cache(), alone)).logits!);
  }
  if (several.length === 0) return async () => logits;
  const before = lengths.reduce((most, n) => Math.max(most, n - 1), 1);
  const beginnings = new Int32Array(several.length * before);
  several.forEach((text, i) => {
    beginnings.set(ids.subarray(text * length, text * length + lengths[text] - 1), i * before);
  });
  const counts = several.map((text) => lengths[text] - 1);
  const cache = session.cache();
  await session.prefill(cache, { ids: beginnings, lengths: counts, batch: several.length, length: before });
  const last = lastOf(several);
  return async (steering) => {
    put(several, (await session.step(cache, last, steering)).logits!);
    counts.forEach((tokens, text) => {
      cache.truncate(text, tokens);
    });
    return logits;
  };
}
