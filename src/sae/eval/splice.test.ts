import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../../graph/matmul.js';
import { LanguageModel } from '../../model/language-model.js';
import { D, golden, goldenSae, identity, MODEL, numberOf, silent } from './golden.test.support.js';
import { NextTokens } from './next-token.js';
import type { Splice } from './schema.js';
import { prepare, type SpliceOptions, spliceFigures } from './splice.js';

/** @file Splicing into a random Llama, against hooks on transformers' own. */

let root: string;
let model: LanguageModel;
let matmul: MatMul;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'splice-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  model = await LanguageModel.open(MODEL);
  matmul = await MatMul.open(1);
});
afterAll(async () => {
  await model.close();
  await matmul.close();
  await rm(root, { recursive: true, force: true });
});

const splice = (more: Partial<SpliceOptions> = {}): Promise<Splice> =>
  spliceFigures(
    {
      model,
      precision: 'fp32',
      texts: golden.texts,
      source: 'test',
      maxTokens: 64,
      site: { layer: golden.layer, point: 'resid_post' },
      sinkThreshold: golden.threshold,
      sae: goldenSae(),
      bootstraps: 100,
      seed: 1,
      threads: 1,
      ...more,
    },
    matmul,
  );

describe('splicing', () => {
  let found: Splice;
  beforeAll(async () => {
    found = await splice();
  });

  test('costs what it costs with hooks on transformers, each text by itself', async () => {
    const expected = golden.splice;
    expect(numberOf(found.original.ce)).toBeCloseTo(expected.original.ce, 5);
    for (const [changed, name] of [
      [found.arms.sae, 'sae'],
      [found.ablations.zero, 'zero'],
      [found.ablations.mean, 'mean'],
    ] as const) {
      expect(numberOf(changed.ce), name).toBeCloseTo(expected[name].ce, 5);
      expect(numberOf(changed.kl), name).toBeCloseTo(expected[name].kl, 5);
    }
  });

  test('leaves the sinks alone and says how many these are', () => {
    expect(found.tokens).toBe(golden.tokens);
    expect(numberOf(found.untouched)).toBeCloseTo(golden.untouched, 9);
    expect(golden.untouched).toBeGreaterThan(golden.texts.length / golden.tokens);
  });

  test('recovers what the formulas say, or says why not', () => {
    const { original, sae, zero, mean } = golden.splice;
    const { zero: ofZero, mean: ofMean } = found.arms.sae;
    expect(numberOf(ofZero.ceRecovered)).toBeCloseTo((zero.ce - sae.ce) / (zero.ce - original.ce), 3);
    expect(numberOf(ofZero.klScore)).toBeCloseTo((zero.kl - sae.kl) / zero.kl, 4);
    expect(numberOf(ofMean.klScore)).toBeCloseTo((mean.kl - sae.kl) / mean.kl, 4);
    // A random model predicts random texts better without what it computed.
    expect(mean.ce).toBeLessThan(original.ce);
    expect(ofMean.ceRecovered).toEqual({ value: null, why: 'the mean ablation costs no cross-entropy that could be recovered' });
    const [low, high] = ofZero.klScore.ci95!;
    expect(low).toBeLessThan(numberOf(ofZero.klScore));
    expect(high).toBeGreaterThan(numberOf(ofZero.klScore));
  });

  test('of the identity loses nothing', async () => {
    const { arms } = await splice({ sae: identity() });
    expect(arms.sae.kl).toMatchObject({ value: expect.closeTo(0, 9) });
    expect(numberOf(arms.sae.zero.ceRecovered)).toBeCloseTo(1, 6);
    expect(numberOf(arms.sae.zero.klScore)).toBeCloseTo(1, 9);
    expect(numberOf(arms.sae.mean.klScore)).toBeCloseTo(1, 9);
  });

  test.each(['resid_pre', 'attn_out', 'mlp_out', 'resid_post'] as const)(
    'of the identity loses nothing at %s of the last block',
    async (point) => {
      const { arms, ablations } = await splice({ sae: identity(), site: { layer: 1, point }, sinkThreshold: 1e6 });
      expect(numberOf(arms.sae.kl)).toBeLessThan(1e-9);
      expect(numberOf(ablations.zero.kl)).toBeGreaterThan(1e-3);
      expect(numberOf(arms.sae.zero.klScore)).toBeCloseTo(1, 6);
    },
  );

  test('of an autoencoder that says 0 is the zero ablation', async () => {
    const { arms, ablations } = await splice({ sae: silent(new Float32Array(D)) });
    expect(arms.sae.ce.value).toBe(ablations.zero.ce.value);
    expect(arms.sae.zero).toMatchObject({ ceRecovered: { value: 0 }, klScore: { value: 0 } });
  });

  test('measures the baselines by the same code', async () => {
    // As many principal components as the golden ones: those of the sparsest topk that always has k positive latents.
    const dense = goldenSae();
    dense.weights.bEnc.fill(50);
    const { arms } = await splice({ sae: dense });
    expect(numberOf(arms.pca.ce)).toBeCloseTo(golden.splice.pca.ce, 4);
    expect(numberOf(arms.pca.kl)).toBeCloseTo(golden.splice.pca.kl, 4);
    expect(numberOf(arms.random.kl)).toBeGreaterThan(0);
  });

  test('weights every token of texts that begin alike', async () => {
    const [text] = golden.texts;
    const once = await splice({ texts: [text, golden.texts[5]] });
    const thrice = await splice({ texts: [text, text, text, golden.texts[5]] });
    const tokens = async (of: string) => (await splice({ texts: [of, of] })).predicted / 2;
    const [a, b] = [await tokens(text), await tokens(golden.texts[5])];
    const alone = async (of: string) => numberOf((await splice({ texts: [of, of] })).original.ce);
    const [ca, cb] = [await alone(text), await alone(golden.texts[5])];
    expect(numberOf(once.original.ce)).toBeCloseTo((a * ca + b * cb) / (a + b), 5);
    expect(numberOf(thrice.original.ce)).toBeCloseTo((3 * a * ca + b * cb) / (3 * a + b), 5);
  });

  test('is refused where nothing can be replaced or predicted, and stops when asked', async () => {
    await expect(splice({ sinkThreshold: 1e-6 })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('0 states'),
    });
    await expect(splice({ texts: ['a', 'b'] })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('no token to predict'),
    });
    const stop = new AbortController();
    const onProgress = ({ task, done }: { task: string; done: number }) => {
      if (task === 'splice' && done === 0) stop.abort();
    };
    await expect(splice({ onProgress, signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
  });
});

test('a row is a sink as the first token of a text or by its length, wherever it stands', () => {
  const batch = { ids: Int32Array.of(5, 6, 7, 5, 8, 0), lengths: Int32Array.of(3, 2), batch: 2, length: 3 };
  // Both texts begin with row 0; row 2 is long.
  const states = Float32Array.of(0, 1, 1, 0, 3, 4, 0, 2);
  const { content } = prepare(Int32Array.of(0, 1), batch, Int32Array.of(0, 1, 2, 0, 3, 3), states, 4);
  expect(Array.from(content)).toEqual([1, 3]);
});

test('divergence and cross-entropy of one row, by their definitions', () => {
  const [a, b] = [Float32Array.of(2, -1, 0.5, 3), Float32Array.of(1, 1, -2, 2.5)];
  const soft = (x: Float32Array) => {
    const total = x.reduce((sum, value) => sum + Math.exp(value), 0);
    return Array.from(x, (value) => Math.exp(value) / total);
  };
  const [p, q] = [soft(a), soft(b)];
  const next = new NextTokens(a, 4, Int32Array.of(0), new Float32Array(4));
  const { total, kl } = next.against(b, 0);
  expect(total - b[2]).toBeCloseTo(-Math.log(q[2]), 7);
  expect(kl).toBeCloseTo(
    p.reduce((sum, at, i) => sum + at * Math.log(at / q[i]), 0),
    7,
  );
  expect(next.against(a, 0).kl).toBe(0);
});
