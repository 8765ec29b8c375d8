import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { realWeights } from '../checkpoint/real-weights.test.support.js';
import { openSafetensors } from '../checkpoint/safetensors.js';
import { compileDecoder } from './compile.js';
import { DecoderSession } from './decoder-session.js';
import { mapDecoder } from './family.js';
import type { DecoderMapping } from './mapping.js';

/**
 * @file SmolLM2-135M against transformers in double precision, 100 texts in one padded batch (scripts/decoder_golden.py). The size
 * of an error is known exactly for two tokens; for all others it is estimated from projections on random sign vectors: the mean of
 * (sign . e)^2 is |e|^2 in expectation. With six, the root of that mean has a median of .94 |e| (from below by 6%, so the median
 * is divided by it) and only over-states the worst of many.
 */

const PROJECTIONS = 6;
const MEDIAN_OF_ESTIMATE = 0.94;

const weights = await realWeights('smollm2-135m');
const golden = await openSafetensors(fileURLToPath(new URL('../../fixtures/smollm2-states.golden.safetensors', import.meta.url)));
const [mean, projections, whole, logOdds] = await Promise.all(
  ['mean', 'projections', 'whole', 'log_odds'].map((n) => golden.read(n)),
);
const [ids, lengths, pairs, wholeRows] = (
  await Promise.all(['ids', 'lengths', 'pairs', 'whole_rows'].map((n) => golden.read(n)))
).map((numbers) => Int32Array.from(numbers));
const [layers, hidden] = golden.info('mean').shape;
await golden.close();

const batch = lengths.length;
const length = Math.max(...lengths);
const padded = new Int32Array(batch * length);
/** Rows of the padded batch that are tokens, the first of each text left out, in the golden's order. */
const tokens: number[] = [];
for (let text = 0, from = 0; text < batch; from += lengths[text++]) {
  padded.set(ids.subarray(from, from + lengths[text]), text * length);
  for (let i = 1; i < lengths[text]; i++) tokens.push(text * length + i);
}

/** [PROJECTIONS, hidden] of 1 and -1: the top bit of murmur3's finaliser of the index. */
const signs = Int8Array.from({ length: PROJECTIONS * hidden }, (_, index) => {
  let h = index + 1;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) < 0 ? 1 : -1;
});

interface Errors {
  median: number;
  worst: number;
  /** Of the two tokens known whole. */
  worstWhole: number;
  /** Nats. */
  logOdds: number;
}

/** Errors of as many blocks as the mapping has; the log-odds only of the whole model. */
async function errors(change: (mapping: DecoderMapping) => DecoderMapping = (mapping) => mapping): Promise<Errors> {
  const checkpoint = await openCheckpoint(weights!.path);
  const mapping = change(mapDecoder(checkpoint));
  const compiled = await compileDecoder(checkpoint, { logits: mapping.spec.layers === layers }, mapping);
  await checkpoint.close();
  const session = await DecoderSession.open(compiled);
  const { residuals, logits } = await session.run({ ids: padded, lengths, batch, length });
  await session.close();
  const estimates: number[] = [];
  let worstWhole = 0;
  for (const [layer, states] of residuals.entries()) {
    const norms = tokens.map((row) => norm(states.subarray(row * hidden, (row + 1) * hidden)));
    const sink = 3 * median(norms);
    const centre = mean.subarray(layer * hidden, (layer + 1) * hidden);
    for (const [t, row] of tokens.entries()) {
      if (norms[t] > sink) continue;
      const centred = Float64Array.from(centre, (m, i) => states[row * hidden + i] - m);
      const size = norm(centred);
      const at = (layer * tokens.length + t) * PROJECTIONS;
      let squares = 0;
      for (let p = 0; p < PROJECTIONS; p++) {
        let dot = 0;
        for (let i = 0; i < hidden; i++) dot += signs[p * hidden + i] * centred[i];
        squares += (dot - projections[at + p]) ** 2;
      }
      estimates.push(Math.sqrt(squares / PROJECTIONS) / size);
      const w = wholeRows.indexOf(t);
      if (w < 0) continue;
      const exact = whole.subarray((layer * wholeRows.length + w) * hidden, (layer * wholeRows.length + w + 1) * hidden);
      const error = Float64Array.from(exact, (value, i) => states[row * hidden + i] - value);
      worstWhole = Math.max(worstWhole, norm(error) / size);
    }
  }
  return {
    median: median(estimates) / MEDIAN_OF_ESTIMATE,
    worst: estimates.reduce((a, b) => Math.max(a, b)),
    worstWhole,
    logOdds: logits ? worstLogOdds(logits) : Number.NaN,
  };
}

function worstLogOdds(logits: Float32Array): number {
  const [count, vocabulary] = [pairs.length / 2, logits.length / batch];
  const errors = logOdds.map((exact, i) => {
    const text = logits.subarray(Math.floor(i / count) * vocabulary);
    return Math.abs(text[pairs[2 * (i % count)]] - text[pairs[2 * (i % count) + 1]] - exact);
  });
  return Math.max(...errors);
}

function norm(x: Float32Array | Float64Array): number {
  let squares = 0;
  for (let i = 0; i < x.length; i++) squares += x[i] * x[i];
  return Math.sqrt(squares);
}

function median(numbers: readonly number[]): number {
  return Float64Array.from(numbers).sort()[numbers.length >> 1];
}

describe.skipIf(!weights)('SmolLM2-135M', () => {
  test('block outputs and log-odds are those of transformers in double precision', async () => {
    const found = await errors();
    expect(projections.length).toBe(layers * tokens.length * PROJECTIONS);
    expect(found.median).toBeLessThan(4e-6);
    expect(found.worst).toBeLessThan(2e-4);
    expect(found.worstWhole).toBeLessThan(2e-4);
    expect(found.logOdds).toBeLessThan(1e-3);
  });

  describe('the first two blocks with one thing wrong are found out', () => {
    const wrong: Record<string, (mapping: DecoderMapping) => Partial<DecoderMapping>> = {
      'rows of query and key as the file has them': () => ({ interleavedRotary: false }),
      'another theta': ({ spec }) => ({ spec: { ...spec, ropes: { global: { theta: 10_000 } } } }),
      'norms exchanged': ({ tensors }) => ({
        tensors: { ...tensors, attentionNorm: tensors.mlpNorm, mlpNorm: tensors.attentionNorm },
      }),
    };
    let cache: string;
    beforeEach(async () => {
      cache = await mkdtemp(join(tmpdir(), 'smollm2-'));
      process.env.MORALSCOPE_CACHE = cache;
    });
    afterEach(() => rm(cache, { recursive: true }));

    const twoBlocks = (mapping: DecoderMapping) => ({ ...mapping, spec: { ...mapping.spec, layers: 2 } });

    test('with nothing wrong they pass', async () => {
      expect((await errors(twoBlocks)).worst).toBeLessThan(2e-4);
    });

    test.each(Object.keys(wrong))('%s', async (what) => {
      const found = await errors((mapping) => twoBlocks({ ...mapping, ...wrong[what](mapping) }));
      expect(found.median).toBeGreaterThan(4e-6);
      expect(found.worst).toBeGreaterThan(2e-4);
    });
  });
});
