import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { shapeOf } from './intervention.js';
import { centredError, randomChange, TinyModel } from './intervention.test.support.js';
import { formatSite, type SitePoint } from './site.js';
import { distinctBeginnings, type TokenBatch, takeRows } from './token-rows.js';

/** @file A decoder that is given the stream between two blocks runs what is above it alone, and says the same. */

let cacheDirectory: string;
beforeAll(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'given-stream-'));
  process.env.MORALSCOPE_CACHE = cacheDirectory;
});
afterAll(() => rm(cacheDirectory, { recursive: true }));

/** Two texts that begin alike and a shorter one; all but their last tokens. */
const TEXTS: TokenBatch = {
  ids: Int32Array.of(3, 8, 1, 12, 5, 2, 3, 8, 1, 7, 4, 4, 6, 4, 10, 13, 0, 0),
  lengths: Int32Array.of(6, 6, 4),
  batch: 3,
  length: 6,
};
const BEGINNINGS = { ...TEXTS, lengths: TEXTS.lengths.map((n) => n - 1) };
const LAST = TEXTS.lengths.map((n, text) => text * TEXTS.length + n - 1);
const WORDS = [9, 2, 14];

describe.each(['qwen3', 'gemma2', 'gpt-neox', 'gpt-oss'])('%s', (family) => {
  let model: TinyModel;
  beforeAll(async () => {
    model = await TinyModel.open(family);
  });
  afterAll(() => model.close());

  test.each<SitePoint>(['resid_pre', 'resid_post'])('given %s, steered there', async (point) => {
    const { hidden, layers, vocabulary } = model.spec;
    const layer = layers - 2;
    const site = formatSite({ layer, point });
    const change = randomChange('project', hidden, new Random(0, family, point));
    const steering = {
      interventions: [{ site, change, positions: 'last' as const, sinkThreshold: Number.POSITIVE_INFINITY }],
      strength: 0.7,
    };
    const interventions = steering.interventions.map(shapeOf);
    const below = await model.session({ sites: [site] });
    const whole = await model.decoding({ sites: [], logits: 'last', interventions });
    const above = await model.decoding({ sites: [], logits: 'last', interventions, given: site, logitTokens: WORDS });
    try {
      expect(above.compiled.cache!.layers).toBe(layers - layer - (point === 'resid_post' ? 1 : 0));
      const { residuals, place } = await below.run(TEXTS);
      const states = residuals[0].slice();
      const rowsOf = (at: Int32Array) =>
        takeRows(
          states,
          hidden,
          at.map((token) => place[token]),
        );
      const caches = { whole: whole.cache(), above: above.cache() };
      await whole.prefill(caches.whole, BEGINNINGS);
      await above.prefill(caches.above, BEGINNINGS, undefined, { given: rowsOf(distinctBeginnings(BEGINNINGS).first) });
      const ids = LAST.map((at) => TEXTS.ids[at]);
      const expected = (await whole.step(caches.whole, ids, steering)).logits!;
      const found = (await above.step(caches.above, ids, steering, { given: rowsOf(LAST) })).logits!;
      const some = Float32Array.from([0, 1, 2].flatMap((text) => WORDS.map((word) => expected[text * vocabulary + word])));
      expect(found.length).toBe(some.length);
      expect(centredError(found, some, WORDS.length)).toBeLessThan(1e-5);
      await expect(above.step(caches.above, ids, steering)).rejects.toThrow(RangeError);
    } finally {
      for (const session of [below, whole, above]) await session.close();
    }
  });

  test('refuses an intervention before it, and tokens that there are not', async () => {
    const { spec } = model;
    const interventions = [
      { site: formatSite({ layer: 0, point: 'mlp_out' }), mode: 'add', thresholds: false, gate: 'linear' } as const,
    ];
    const given = formatSite({ layer: 0, point: 'resid_post' });
    await expect(model.session({ sites: [], logits: 'last', given, interventions })).rejects.toThrow('before the given');
    await expect(model.session({ sites: [], logits: 'last', logitTokens: [spec.vocabulary] })).rejects.toThrow(RangeError);
  });
});
