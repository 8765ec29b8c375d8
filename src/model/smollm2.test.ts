import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realWeights } from '../checkpoint/real-weights.test.support.js';
import type { DecoderMapping } from './mapping.js';
import { StatesGolden } from './states-golden.test.support.js';

/** @file SmolLM2-135M against transformers in double precision, 100 texts. */

const weights = await realWeights('smollm2-135m');
const golden = await StatesGolden.open('smollm2');

describe.skipIf(!weights)('SmolLM2-135M', () => {
  test('block outputs and log-odds are those of transformers in double precision', async () => {
    const found = await golden.errors(weights!.path);
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
      expect((await golden.errors(weights!.path, twoBlocks)).worst).toBeLessThan(2e-4);
    });

    test.each(Object.keys(wrong))('%s', async (what) => {
      const found = await golden.errors(weights!.path, (mapping) => twoBlocks({ ...mapping, ...wrong[what](mapping) }));
      expect(found.median).toBeGreaterThan(4e-6);
      expect(found.worst).toBeGreaterThan(2e-4);
    });
  });
});
