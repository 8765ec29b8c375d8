import { mkdtemp, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifyCacheEntry } from '../checkpoint/cache.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { compileDecoder } from './compile.js';
import type { CompiledDecoder } from './compiled-decoder.js';
import { DecoderSession } from './decoder-session.js';
import { mapDecoder } from './family.js';
import { LanguageModel } from './language-model.js';
import { takeRows } from './token-rows.js';

const tinyLlama = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
const [first, second] = [0, 1].map((layer) => `blocks.${layer}.hook_resid_post`);
const batch = { ids: Int32Array.of(5, 9, 20, 33, 2, 0), lengths: Int32Array.of(3, 2), batch: 2, length: 3 };

let cache: string;
let checkpoint: Checkpoint;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'compile-'));
  process.env.MORALSCOPE_CACHE = cache;
  checkpoint = await openCheckpoint(tinyLlama);
});
afterEach(async () => {
  await checkpoint.close();
  await rm(cache, { recursive: true });
});

async function states(compiled: CompiledDecoder): Promise<number[][]> {
  const session = await DecoderSession.open(compiled, { threads: 1 });
  const { residuals, logits } = await session.run(batch);
  const copies = [...residuals, ...(logits ? [logits] : [])].map((array) => [...array]);
  await session.close();
  return copies;
}

test('a site whose states are given takes the place of the blocks before it', async () => {
  const names = ['attn_out', 'mlp_out', 'resid_pre', 'resid_post'].flatMap((point) =>
    [0, 1].map((l) => `blocks.${l}.hook_${point}`),
  );
  const taps = await DecoderSession.open(await compileDecoder(checkpoint, { sites: names, logits: 'all' }), { threads: 1 });
  const plain = await taps.run(batch);
  for (const [i, name] of names.entries()) {
    const session = await DecoderSession.open(await compileDecoder(checkpoint, { sites: [second], logits: 'all', given: name }), {
      threads: 1,
    });
    const same = await session.run(batch, { given: plain.residuals[i] });
    for (const [found, expected] of [
      [same.residuals[0], plain.residuals[names.indexOf(second)]],
      [same.logits!, plain.logits!],
    ])
      for (const [at, value] of expected.entries()) expect(Math.abs(found[at] - value)).toBeLessThan(1e-5);
    await expect(session.run(batch)).rejects.toThrow(RangeError);
    const logits = plain.logits!.slice();
    const changed = await session.run(batch, { given: plain.residuals[i].map((value) => 1.1 * value + 0.1) });
    expect(Math.max(...changed.logits!.map((value, at) => Math.abs(value - logits[at])))).toBeGreaterThan(0.01);
    await session.close();
  }
  await taps.close();
});

describe('graphs of one model', () => {
  test('share their weights and hold no more than their sites need', async () => {
    const all = await compileDecoder(checkpoint, { logits: 'last' });
    const weights = join(dirname(all.graph), 'weights.bin');
    const written = (await stat(weights)).mtimeMs;
    const low = await compileDecoder(checkpoint, { sites: [first] });
    const attention = await compileDecoder(checkpoint, { sites: ['blocks.1.hook_attn_out'] });
    expect(all.sites).toEqual([first, second]);
    expect(dirname(low.graph)).toBe(dirname(all.graph));
    expect((await stat(weights)).mtimeMs).toBe(written);

    const head = '\x42\x04head'; // a tensor's name field
    const names = async (compiled: CompiledDecoder) => (await readFile(compiled.graph)).toString('latin1');
    expect(await names(all)).toContain(head);
    expect(await names(low)).not.toContain(head);
    expect(await names(low)).not.toContain('blocks.1.mlp.down.weight');
    expect(await names(attention)).toContain('blocks.1.attn.output.weight');
    expect(await names(attention)).not.toContain('blocks.1.mlp.down.weight');
    expect((await states(low))[0]).toEqual((await states(all))[0]);
  });

  test('give the logits of every row, those of the last among them', async () => {
    const sessions = [];
    for (const logits of ['last', 'all'] as const)
      sessions.push(await DecoderSession.open(await compileDecoder(checkpoint, { sites: [], logits }), { threads: 1 }));
    const [last, all] = await Promise.all(sessions.map((session) => session.run(batch)));
    const { vocabulary } = sessions[0].compiled;
    expect(all.logits).toHaveLength(5 * vocabulary);
    const rows = [2, 4].map((place) => all.place[place]);
    const ofLast = takeRows(all.logits!, vocabulary, Int32Array.from(rows));
    expect(Math.max(...ofLast.map((x, i) => Math.abs(x - last.logits![i])))).toBeLessThan(1e-5);
    expect(Math.max(...last.logits!.map(Math.abs))).toBeGreaterThan(0.1);
    for (const session of sessions) await session.close();
  });

  test('come from the cache the second time, and are plain data', async () => {
    const compiled = await compileDecoder(checkpoint);
    const written = (await stat(compiled.graph)).mtimeMs;
    expect(await compileDecoder(checkpoint)).toEqual(compiled);
    expect((await stat(compiled.graph)).mtimeMs).toBe(written);
    expect(structuredClone(compiled)).toEqual(compiled);
    const [name] = (await readdir(join(cache, 'graphs'))).filter((entry) => !entry.startsWith('.'));
    expect(name).toMatch(/^llama-fp32-[0-9a-f]{16}$/);
    expect((await verifyCacheEntry(`graphs/${name}`)).faults).toEqual([]);
  });

  test('made anew where the weights were cut short', async () => {
    const compiled = await compileDecoder(checkpoint);
    const before = await states(compiled);
    await truncate(join(dirname(compiled.graph), 'weights.bin'), 1000);
    expect(await states(await compileDecoder(checkpoint))).toEqual(before);
  });

  test('written anew where the graph was damaged', async () => {
    const compiled = await compileDecoder(checkpoint);
    const before = await states(compiled);
    await truncate(compiled.graph, 100);
    expect(await states(await compileDecoder(checkpoint))).toEqual(before);
  });

  test('stopped half-way are not used', async () => {
    const stop = new AbortController();
    const onProgress = ({ done }: { done: number }) => {
      if (done === 5) stop.abort();
    };
    await expect(compileDecoder(checkpoint, { onProgress, signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
    const compiled = await compileDecoder(checkpoint);
    expect((await states(compiled)).flat().every(Number.isFinite)).toBe(true);
  });

  test('two at a time make one', async () => {
    const [a, b] = await Promise.all([compileDecoder(checkpoint), compileDecoder(checkpoint)]);
    expect(a).toEqual(b);
  });

  test('run in another thread', async () => {
    const compiled = await compileDecoder(checkpoint);
    const session = new URL('./decoder-session.js', import.meta.url).href;
    const code = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData.session).then(async ({ DecoderSession }) => {
        const session = await DecoderSession.open(workerData.compiled, { threads: 1 });
        parentPort.postMessage((await session.run(workerData.batch)).residuals);
        await session.close();
      });`;
    const worker = new Worker(code, { eval: true, workerData: { session, compiled, batch } });
    const residuals = await new Promise<Float32Array[]>((resolve, reject) =>
      worker.once('message', resolve).once('error', reject),
    );
    expect(residuals.map((array) => [...array])).toEqual(await states(compiled));
  });
});

describe('refused', () => {
  test.each([
    [['blocks.2.hook_resid_post'], '2 layers'],
    [['blocks.0.resid_post'], 'is not a site'],
    [[first, first], 'named twice'],
    [[], 'Neither a site nor logits'],
  ])('sites %j', async (sites, message) => {
    const attempt = compileDecoder(checkpoint, { sites });
    await expect(attempt).rejects.toMatchObject({ name: 'MoralscopeError', code: 'misuse' });
    await expect(attempt).rejects.toThrow(message);
  });

  test('a configuration that does not fit the tensors', async () => {
    const mapping = mapDecoder(checkpoint);
    const attention = { ...mapping.spec.attention, kvHeads: 1 };
    const attempt = compileDecoder(checkpoint, {}, { ...mapping, spec: { ...mapping.spec, attention } });
    await expect(attempt).rejects.toMatchObject({ code: 'bad-file' });
    await expect(attempt).rejects.toThrow('k_proj.weight is [32, 32], but the configuration asks for [16, 32]');
  });

  test.each([
    [{ model_type: 'mamba' }, 'unsupported', 'family mamba'],
    [{ rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, factor: 8 } }, 'bad-file', 'low_freq_factor'],
    [{ rope_parameters: null, rope_scaling: { type: 'longrope', factor: 2 } }, 'unsupported', 'rope scaling is "longrope"'],
    [{ hidden_act: 'gelu' }, 'unsupported', 'activation is "gelu"'],
    [{ layer_types: ['full_attention', 'linear_attention'] }, 'unsupported', 'kind of block is "linear_attention"'],
    [{ layer_types: ['full_attention'] }, 'unsupported', 'length of layer_types is 1'],
    [{ num_hidden_layers: 2 ** 40 }, 'bad-file', 'num_hidden_layers'],
    [{ max_position_embeddings: 2 ** 40 }, 'bad-file', 'max_position_embeddings'],
    [{ num_hidden_layers: '2' }, 'bad-file', 'num_hidden_layers'],
  ])('configuration %j', (change, code, message) => {
    const architecture = 'model_type' in change ? change.model_type : checkpoint.architecture;
    const changed: Checkpoint = { ...checkpoint, architecture, metadata: { ...checkpoint.metadata, ...change } };
    expect(() => mapDecoder(changed)).toThrow(expect.objectContaining({ name: 'MoralscopeError', code }));
    expect(() => mapDecoder(changed)).toThrow(message);
  });

  test.each([
    [{ 'llama.rope.scaling.type': 'longrope' }, 'unsupported', 'rope scaling is "longrope"'],
    [{ 'llama.expert_count': 8 }, 'unsupported', 'number of experts is 8'],
    [{ 'llama.rope.dimension_count': 8 }, 'unsupported', 'rotary dimension is 8'],
    [{ 'llama.block_count': undefined }, 'bad-file', 'llama.block_count'],
  ])('metadata %j', async (change, code, message) => {
    const gguf = await openCheckpoint(`${tinyLlama}.gguf`);
    const changed: Checkpoint = { ...gguf, metadata: { ...gguf.metadata, ...change } };
    expect(() => mapDecoder(changed)).toThrow(expect.objectContaining({ name: 'MoralscopeError', code }));
    expect(() => mapDecoder(changed)).toThrow(message);
    await gguf.close();
  });

  /** The checkpoint with other tensors. */
  const withTensors = (change: Partial<Checkpoint['tensors']>): Checkpoint => {
    const { tensors } = checkpoint;
    const same = {
      names: () => tensors.names(),
      has: (name: string) => tensors.has(name),
      info: (name: string) => tensors.info(name),
      read: (name: string) => tensors.read(name),
      readRows: (name: string, from: number, to: number) => tensors.readRows(name, from, to),
      close: () => tensors.close(),
    };
    return { ...checkpoint, tensors: { ...same, ...change } };
  };

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('a weight of %s', async (value) => {
    const damaged = withTensors({
      readRows: async (name, from, to) => {
        const rows = await checkpoint.tensors.readRows(name, from, to);
        return name === 'model.layers.1.mlp.up_proj.weight' ? rows.with(7, value) : rows;
      },
    });
    await expect(compileDecoder(damaged)).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('blocks.1.mlp.up.weight holds numbers that are not finite'),
    });
  });

  test('weights for which there is no room, before the first is written', async () => {
    const mapping = mapDecoder(checkpoint);
    const vocabulary = 1e13;
    const large = withTensors({
      info: (name) => {
        const found = checkpoint.tensors.info(name);
        return /embed_tokens|lm_head/.test(name) ? { ...found, shape: [vocabulary, found.shape[1]] } : found;
      },
      readRows: () => Promise.reject(new Error('nothing is to be read')),
    });
    const spec = { ...mapping.spec, vocabulary };
    await expect(compileDecoder(large, {}, { ...mapping, spec })).rejects.toMatchObject({ code: 'disk' });
  });

  test('texts beyond the context, for which dynamic rotary positions would be others', async () => {
    const rope_scaling = { type: 'dynamic', factor: 2 };
    const metadata = { ...checkpoint.metadata, rope_parameters: null, rope_theta: 50, rope_scaling };
    const mapping = mapDecoder({ ...checkpoint, metadata });
    expect(mapping.spec).toEqual(mapDecoder(checkpoint).spec);
    const session = await DecoderSession.open(await compileDecoder(checkpoint, {}, mapping), { threads: 1 });
    const long = { ids: new Int32Array(65), lengths: Int32Array.of(65), batch: 1, length: 65 };
    await expect(session.run(long)).rejects.toThrow('a text of 65 tokens; the model takes 1 to 64');
    await session.close();
  });

  test('heads that do not divide evenly', async () => {
    const mapping = mapDecoder(checkpoint);
    for (const change of [{ heads: 3, headDim: 64 / 3 }, { heads: 4, kvHeads: 3 }, { rotated: 7 }]) {
      const attention = { ...mapping.spec.attention, ...change };
      const attempt = compileDecoder(checkpoint, {}, { ...mapping, spec: { ...mapping.spec, attention } });
      await expect(attempt).rejects.toMatchObject({ code: 'bad-file' });
    }
  });

  test('a batch that does not fit', async () => {
    const session = await DecoderSession.open(await compileDecoder(checkpoint), { threads: 1 });
    const wrong = [
      { ...batch, ids: Int32Array.of(1, 2, 3) },
      { ...batch, lengths: Int32Array.of(3, 0) },
      { ...batch, lengths: Int32Array.of(4, 1) },
      { ...batch, ids: Int32Array.of(1, 2, 3, 4, 5, 72) },
      { ids: new Int32Array(65), lengths: Int32Array.of(65), batch: 1, length: 65 },
    ];
    for (const each of wrong) await expect(session.run(each)).rejects.toThrow(RangeError);
    await session.close();
  });
});

test('a language model opens, says what it is, and runs', async () => {
  const model = await LanguageModel.open(tinyLlama, { threads: 1 });
  expect(model).toMatchObject({ name: 'tiny-llama', family: 'llama', parameters: 25_280, spec: { layers: 2, hidden: 32 } });
  expect(model.sha256).toMatch(/^[0-9a-f]{64}$/);
  const session = await model.session({ sites: [second] });
  const { residuals, logits } = await session.run(batch);
  expect(residuals.map(({ length }) => length)).toEqual([5 * 32]);
  expect(logits).toBeUndefined();
  await session.close();
  await model.close();
});
