import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realWeights } from '../checkpoint/real-weights.test.support.js';
import { openSafetensors } from '../checkpoint/safetensors.js';
import { capture } from './capture.js';
import type { ActivationDirectory } from './directory.js';
import { POOLINGS } from './pooling.js';

/** @file A capture of SmolLM2-135M against transformers in double precision (scripts/capture_golden.py). */

const weights = await realWeights('smollm2-135m');
const golden = await openSafetensors(fileURLToPath(new URL('../../fixtures/capture.golden.safetensors', import.meta.url)));
const texts = JSON.parse(golden.metadata.texts) as string[];
const layers = [...(await golden.read('layers'))];
afterAll(() => golden.close());

describe.skipIf(!weights)('SmolLM2-135M', () => {
  let root: string;
  let directory: ActivationDirectory;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'capture-smollm2-'));
    directory = await capture({ model: 'smollm2-135m', texts, readout: true, out: join(root, 'out') });
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  /** Largest error of a row relative to its distance from the mean row: raw states are all alike. */
  function centredError(found: Float32Array, exact: Float32Array): number {
    const width = exact.length / texts.length;
    const mean = Float64Array.from(
      { length: width },
      (_, j) => texts.reduce((sum, _, i) => sum + exact[i * width + j], 0) / texts.length,
    );
    return Math.max(
      ...texts.map((_, i) => {
        let [error, size] = [0, 0];
        for (let j = 0; j < width; j++) {
          error += (found[i * width + j] - exact[i * width + j]) ** 2;
          size += (exact[i * width + j] - mean[j]) ** 2;
        }
        return Math.sqrt(error / size);
      }),
    );
  }

  test.each(POOLINGS)('states pooled by %s', async (pooling) => {
    const exact = await golden.read(pooling);
    for (const [i, layer] of layers.entries()) {
      const size = exact.length / layers.length;
      const error = centredError(await directory.read(layer, pooling), exact.subarray(i * size, (i + 1) * size));
      expect(error, `layer ${layer}`).toBeLessThan(2e-4);
    }
  });

  test('norms of the first token and of the others, and the sink thresholds', async () => {
    const exact = await golden.read('norms');
    for (const [i, layer] of layers.entries()) {
      const norms = await directory.norms(layer);
      norms.forEach((norm, k) => {
        expect(norm / exact[i * norms.length + k]).toBeCloseTo(1, 4);
      });
    }
    const medians = await golden.read('medians');
    for (const { layer, threshold } of directory.details.calibration) expect(threshold / (3 * medians[layer])).toBeCloseTo(1, 5);
    expect(directory.details.calibration.length).toBe(30);
  });

  test('the antonyms that are single tokens, and their log-probabilities to 1e-3 nats', async () => {
    const { words, pairs, tokenIds, tokens, logProbs } = (await directory.readout())!;
    expect(words).toEqual(JSON.parse(golden.metadata.words));
    expect(words.length).toBeGreaterThanOrEqual(13);
    const ids = await golden.read('pair_ids');
    expect(pairs.flat().map((index) => tokenIds[index])).toEqual([...ids]);
    expect(pairs.flat().map((index) => tokens[index])).toEqual(words.flat().map((word) => ` ${word}`));
    const exact = await golden.read('pair_log_probs');
    texts.forEach((_, row) => {
      pairs.flat().forEach((index, k) => {
        expect(Math.abs(logProbs[row * tokenIds.length + index] - exact[row * ids.length + k])).toBeLessThan(1e-3);
      });
    });
  });

  test('the likeliest tokens after the texts are listed', async () => {
    const { tokenIds, pairs } = directory.details.readout!;
    const likeliest = await golden.read('likeliest');
    // The least likely of them may change places with the next ones by rounding.
    for (const id of likeliest.subarray(0, 290)) expect(tokenIds).toContain(id);
    expect(tokenIds.length).toBeLessThanOrEqual(300 + 2 * pairs.length);
    expect(new Set(tokenIds).size).toBe(tokenIds.length);
  });
});
