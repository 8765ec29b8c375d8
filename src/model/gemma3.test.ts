import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { weightsInCache } from '../checkpoint/real-weights.test.support.js';
import type { DecoderMapping } from './mapping.js';
import { StatesGolden } from './states-golden.test.support.js';

/** @file Gemma-3-270M against transformers in double precision, 30 texts. */

const weights = await weightsInCache('gemma3-270m');
const golden = await StatesGolden.open('gemma3');

describe.skipIf(!weights)('Gemma-3-270M', () => {
  test('block outputs and log-odds are those of transformers in double precision', async () => {
    const found = await golden.errors(weights!.path);
    expect(found.median).toBeLessThan(4e-6);
    expect(found.worst).toBeLessThan(2e-4);
    expect(found.worstWhole).toBeLessThan(2e-4);
    expect(found.logOdds).toBeLessThan(1e-3);
  });

  describe('the first block, read from the file in a wrong way, is found out', () => {
    const wrong: Record<string, (mapping: DecoderMapping) => DecoderMapping> = {
      'rows of query and key interleaved': (mapping) => ({ ...mapping, interleavedRotary: true }),
      'norms counted from 1': (mapping) => ({ ...mapping, normOffset: 1 }),
    };
    let cache: string;
    beforeEach(async () => {
      cache = await mkdtemp(join(tmpdir(), 'gemma3-'));
      process.env.MORALSCOPE_CACHE = cache;
    });
    afterEach(() => rm(cache, { recursive: true }));

    const oneBlock = (mapping: DecoderMapping) => ({ ...mapping, spec: { ...mapping.spec, layers: 1, context: 64 } });

    test('with nothing wrong it passes', async () => {
      expect((await golden.errors(weights!.path, oneBlock)).worst).toBeLessThan(2e-4);
    });

    test.each(Object.keys(wrong))('%s', async (what) => {
      const found = await golden.errors(weights!.path, (mapping) => oneBlock(wrong[what](mapping)));
      expect(found.median).toBeGreaterThan(4e-6);
      expect(found.worst).toBeGreaterThan(2e-4);
    });
  });
});
