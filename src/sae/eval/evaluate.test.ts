import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../activations/capture.js';
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../checkpoint/safetensors.js';
import { buildCorpus } from '../../moral/build.js';
import type { Corpus } from '../../moral/corpus.js';
import { readCorpus } from '../../moral/read.js';
import { parseOptions } from '../../options.js';
import { openSae } from '../formats/open-sae.js';
import { writeSaeLens } from '../formats/saelens.js';
import { trainSaes } from '../train.js';
import { TrainSaeOptions } from '../train-options.js';
import { evaluateSae } from './evaluate.js';
import { MODEL, numberOf } from './golden.test.support.js';
import { EvalSaeOptions } from './options.js';
import { evalBytes, requireEvalMemory } from './requirements.js';
import { SaeEval } from './schema.js';

/** @file The whole evaluation of an autoencoder that was trained on a random Llama of two blocks. */

let root: string;
let corpus: Corpus;
let sae: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'evaluate-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  const [header, ...lines] = (await readFile(new URL('../../../corpora/starter.tsv', import.meta.url), 'utf8'))
    .trimEnd()
    .split('\n');
  await writeFile(join(root, 'actions.tsv'), `${[header, ...lines.filter((_, i) => i % 5 === 0)].join('\n')}\n`);
  await buildCorpus({ from: join(root, 'actions.tsv'), out: join(root, 'corpus') });
  corpus = await readCorpus(join(root, 'corpus'));
  await capture({
    model: MODEL,
    corpus,
    out: join(root, 'states'),
    pools: ['last', 'mean', 'tokens'],
    layers: [0, 1],
    readout: false,
    threads: 1,
    shardBytes: 600_000,
  });
  await trainSaes(
    parseOptions(TrainSaeOptions, {
      activations: join(root, 'states'),
      out: join(root, 'saes'),
      layers: '1',
      width: [64],
      k: [4],
      batch: 128,
      tokens: 128 * 60,
      learningRate: 3e-3,
      threads: 1,
    }),
  );
  sae = join(root, 'saes', 'L1-topk-w64-k4');
}, 60_000);
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const options = (out: string, more: Record<string, unknown> = {}) =>
  parseOptions(EvalSaeOptions, {
    activations: join(root, 'states'),
    out: join(root, out),
    ...('model' in more && { maxTexts: 20 }),
    bootstraps: 100,
    threads: 1,
    ...more,
  });

describe('an evaluation', () => {
  let found: SaeEval;
  const tasks = new Set<string>();
  beforeAll(async () => {
    const { evaluation, directory } = await evaluateSae(sae, {
      ...options('whole', { model: MODEL, corpus: join(root, 'corpus') }),
      onProgress: ({ task }) => void tasks.add(task),
    });
    found = evaluation;
    expect(directory).toBe(join(root, 'whole'));
  }, 60_000);

  test('is written as it is returned, with what it was made of', async () => {
    const written = JSON.parse(await readFile(join(root, 'whole', 'sae-eval.json'), 'utf8'));
    expect(SaeEval.parse(written)).toEqual(found);
    const { inputs, format } = JSON.parse(await readFile(join(root, 'whole', 'manifest.json'), 'utf8'));
    expect(format).toBe('moralscope.sae-eval');
    expect(inputs.map(({ name }: { name: string }) => name)).toEqual([
      'cfg.json',
      'sae_weights.safetensors',
      'sparsity.safetensors',
      'activations',
      'tiny-llama',
      'texts of the activations',
      corpus.name,
    ]);
    expect(found).toMatchObject({
      sae: { architecture: 'topk', width: 64, dIn: 32, k: 4, modelSha256: found.model.sha256 },
      site: { name: 'blocks.1.hook_resid_post' },
    });
    expect([...tasks].some((task) => task.startsWith('splice'))).toBe(true);
  });

  test('measures tokens first, then every pooling, each beside its baselines', () => {
    const { reconstruction } = found;
    expect(reconstruction.map(({ states }) => states)).toEqual(['tokens', 'last', 'mean']);
    const [tokens, last] = reconstruction;
    expect(last).toMatchObject({ n: corpus.texts.length, sinks: 0 });
    expect(tokens.sinks).toBeGreaterThanOrEqual(corpus.texts.length);
    for (const { arms } of reconstruction) {
      expect(arms.sae.l0.value).toBe(4);
      expect(arms.random.l0.value).toBe(4);
      expect(arms.pca.l0.value).toBe(4);
      expect(numberOf(arms.pca.fvu)).toBeLessThan(numberOf(arms.random.fvu));
      expect(numberOf(arms.random.fvu)).toBeLessThan(1);
    }
    // It was trained on tokens.
    expect(numberOf(tokens.arms.sae.fvu)).toBeLessThan(numberOf(tokens.arms.random.fvu));
  });

  test('says what splicing costs and what few latents tell', () => {
    const { splice, probing } = found;
    if ('why' in splice || 'why' in probing) throw new Error('a part is missing');
    expect(splice).toMatchObject({ texts: 20, source: 'texts of the activations' });
    expect(numberOf(splice.arms.sae.zero.klScore)).toBeLessThan(1);
    expect(probing.map(({ states }) => states)).toEqual(['last', 'content']);
    for (const { mean } of probing) expect(numberOf(mean.residual)).toBeGreaterThan(0);
  });

  test('once more returns at once what is there; other options are listed', async () => {
    const events: unknown[] = [];
    const same = options('whole', { model: MODEL, corpus: join(root, 'corpus') });
    const { evaluation } = await evaluateSae(sae, { ...same, onProgress: (event) => events.push(event) });
    expect(evaluation).toEqual(found);
    expect(events).toEqual([]);
    await expect(evaluateSae(sae, { ...same, bootstraps: 150 })).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringContaining('bootstraps was 100, now 150'),
    });
  });
});

test('without a model and a corpus it says why these parts are empty, and evenly spread states stand for all', async () => {
  const { evaluation } = await evaluateSae(sae, options('bare', { maxStates: 500 }));
  expect(evaluation.splice).toEqual({ why: expect.stringContaining('no model') });
  expect(evaluation.probing).toEqual({ why: expect.stringContaining('no corpus') });
  const [tokens, last] = evaluation.reconstruction;
  expect(tokens.stride).toBeGreaterThan(1);
  expect(tokens.n).toBeLessThanOrEqual(500);
  expect(tokens.n).toBeGreaterThan(400);
  expect(last.stride).toBe(1);
});

test('texts of a file take the place of those of the activations', async () => {
  await writeFile(join(root, 'texts.txt'), 'the train leaves\nat half past seven\n');
  const { evaluation } = await evaluateSae(sae, options('text', { model: MODEL, text: join(root, 'texts.txt'), maxStates: 300 }));
  expect(evaluation.splice).toMatchObject({ source: 'texts.txt', texts: 2 });
});

test('asked to stop it stops, and leaves nothing that looks whole', async () => {
  const stop = new AbortController();
  const work = evaluateSae(sae, { ...options('stopped'), signal: stop.signal, onProgress: () => stop.abort() });
  await expect(work).rejects.toMatchObject({ code: 'cancelled' });
  expect(existsSync(join(root, 'stopped', 'manifest.json'))).toBe(false);
});

describe('what does not belong together is refused, both sides named', () => {
  const refused = async (path: string, more: Record<string, unknown>, code: string, message: RegExp) => {
    await expect(evaluateSae(path, options('refused', more))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  };
  /** The trained autoencoder with other metadata, or other weights. */
  const written = async (name: string, change: (opened: Awaited<ReturnType<typeof openSae>>) => void) => {
    const opened = await openSae(sae);
    change(opened);
    const path = join(root, name);
    await cp(sae, path, { recursive: true });
    await writeSaeLens(path, opened, opened.origin.more?.moralscope as Record<string, unknown>);
    return path;
  };

  test('another site or layer', async () => {
    await refused(
      sae,
      { site: 'blocks.1.hook_mlp_out' },
      'misuse',
      /takes states at blocks\.1\.hook_mlp_out; .* holds blocks\.0\.hook_resid_post/,
    );
    await refused(
      sae,
      { site: 'blocks.7.hook_resid_post' },
      'misuse',
      /blocks\.7\.hook_resid_post; .*blocks\.1\.hook_resid_post/,
    );
  });

  test('another model, by its sha256 in the metadata', async () => {
    const path = await written('other-model', ({ origin }) => {
      (origin.more!.moralscope as { model: { sha256: string } }).model.sha256 = 'f'.repeat(64);
    });
    await refused(
      path,
      {},
      'misuse',
      /takes states of tiny-llama \(ffffffffffff\); .* holds those of tiny-llama \([0-9a-f]{12}\)/,
    );
  });

  test('another length of states', async () => {
    const path = await written('narrow', (opened) => {
      const { spec, weights } = opened.sae;
      const [dIn, width] = [spec.dIn / 2, spec.width];
      Object.assign(opened, {
        sae: {
          spec: { ...spec, dIn },
          weights: {
            ...weights,
            wEnc: weights.wEnc.slice(0, dIn * width),
            wDec: weights.wDec.slice(0, dIn * width),
            bDec: weights.bDec.slice(0, dIn),
          },
        },
      });
    });
    await refused(path, {}, 'misuse', /takes states of 16 channels; .* holds states of 32/);
  });

  test('a model that is not the one of the activations', async () => {
    const other = join(root, 'tiny-other');
    await cp(MODEL, other, { recursive: true });
    const weights = await readFile(join(other, 'model.safetensors'));
    weights[weights.length - 1] ^= 1;
    await writeFile(join(other, 'model.safetensors'), weights);
    await refused(sae, { model: other }, 'misuse', /holds states of tiny-llama \(\w{12}\), not of tiny-other \(\w{12}\)/);
  });

  test('another corpus', async () => {
    const lines = (await readFile(join(root, 'actions.tsv'), 'utf8')).trimEnd().split('\n');
    await writeFile(join(root, 'fewer.tsv'), `${lines.slice(0, -1).join('\n')}\n`);
    await buildCorpus({ from: join(root, 'fewer.tsv'), out: join(root, 'fewer') });
    await refused(sae, { corpus: join(root, 'fewer') }, 'misuse', /not of/);
  });

  test('a k that exceeds the width, and weights that are cut off', async () => {
    const path = join(root, 'damaged');
    await cp(sae, path, { recursive: true });
    const config = JSON.parse(await readFile(join(path, 'cfg.json'), 'utf8'));
    await writeFile(join(path, 'cfg.json'), JSON.stringify({ ...config, k: 65 }));
    await refused(path, {}, 'bad-file', /k: is more than d_sae/);
    await writeFile(join(path, 'cfg.json'), JSON.stringify(config));
    await truncate(join(path, 'sae_weights.safetensors'), 2000);
    await refused(path, {}, 'bad-file', /sae_weights\.safetensors/);
  });

  test('activations that are no numbers, by text and token', async () => {
    const path = join(root, 'nan');
    await cp(join(root, 'states'), path, { recursive: true });
    const { details } = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8'));
    const shard = join(path, details.shards[1].file);
    const file = await openSafetensors(shard);
    const tensors: Record<string, SafetensorsTensor> = {};
    for (const key of file.names()) tensors[key] = await file.readTyped(key);
    await file.close();
    const [text] = Array.from(tensors.row.data as ArrayLike<number | bigint>, Number);
    (tensors['blocks.1.hook_resid_post/tokens'].data as Float32Array)[2 * 32 + 5] = Number.NaN;
    await writeSafetensors(shard, tensors);
    const message = new RegExp(`layer 1, 'tokens': the state of token 2 of text ${text} holds NaN at channel 5`);
    await refused(sae, { activations: path }, 'bad-data', message);
  });

  test('more memory than there is', () => {
    const size = { dIn: 4096, width: 65_536, shardBytes: 2 ** 26 };
    const model = { parameters: 8e9, vocabulary: 150_000 };
    expect(evalBytes(size)).toBeGreaterThan(3 * 2 * 4 * 4096 * 65_536);
    expect(() => requireEvalMemory(size, evalBytes(size))).not.toThrow();
    expect(() => requireEvalMemory({ ...size, model }, evalBytes(size))).toThrow(
      /in their model takes about .* GiB; there are 7\.\d GiB/,
    );
    expect(() => requireEvalMemory(size, evalBytes(size) - 1)).toThrow(/65536 latents of 4096 channels takes about/);
  });

  test('several autoencoders in one directory', async () => {
    await refused(join(root, 'saes'), {}, 'misuse', /holds 1 sparse autoencoders/);
  });
});
