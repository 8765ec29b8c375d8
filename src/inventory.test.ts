import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cached } from './checkpoint/cache.js';
import { MODELS } from './checkpoint/catalog.js';
import { listModels, type Machine } from './inventory.js';
import { LanguageModel } from './model/language-model.js';
import { PRECISIONS, type Precision } from './model/precision.js';
import { STUDY_MODELS } from './model/study-models.js';

const GB = 1e9;
const machine = (memory: number, models: number, graphs = models): Machine => ({
  memory: { total: 64 * GB, free: memory * GB },
  disk: { models: models * GB, graphs: graphs * GB, same: models === graphs },
});

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'inventory-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  process.env.HF_HUB_CACHE = join(root, 'hub');
});
afterEach(async () => {
  delete process.env.HF_HUB_CACHE;
  await rm(root, { recursive: true });
});

async function find(source: string, on: Machine) {
  return (await listModels(on)).models.find((model) => model.source === source)!;
}

test('lists the families, the catalog and the study, with what each takes', async () => {
  const { families, models } = await listModels(machine(16, 100));
  expect(families).toContainEqual({ architecture: 'qwen3', formats: ['gguf', 'safetensors'] });
  expect(families).toContainEqual({ architecture: 'gpt2', formats: ['safetensors'] });
  expect(models.map(({ source }) => source)).toEqual(
    [...MODELS, ...STUDY_MODELS].map((model) => ('name' in model ? model.name : model.source)),
  );
  for (const { compiled, parameters } of models.filter((model) => model.compiled)) {
    const [fp32, int8, int4] = PRECISIONS.map((precision) => compiled![precision]);
    expect(fp32.bytes).toBe(4 * parameters);
    expect(int8.bytes).toBeGreaterThan(parameters);
    expect(int8.bytes).toBeLessThan(fp32.bytes);
    expect(int4.bytes).toBeLessThan(int8.bytes);
    for (const { bytes, memory } of [fp32, int8, int4]) expect(memory).toBeGreaterThan(bytes);
  }
});

test('measures this machine', async () => {
  const { memory, disk } = (await listModels()).machine;
  expect(memory.free).toBeGreaterThan(0);
  expect(memory.total).toBeGreaterThanOrEqual(memory.free);
  expect(disk.same).toBe(true);
  expect(disk.graphs).toBeGreaterThan(0);
});

test('the catalog is kept on the disk of the graphs', async () => {
  const { compiled } = await find('smollm2-135m', machine(64, 0, 0.7));
  expect(compiled!.fp32.lacks).toEqual([]);
  expect((await find('smollm2-135m', machine(64, 0, 0.6))).compiled!.fp32.lacks).toEqual(['disk']);
});

describe('an 8B model', () => {
  const source = 'hf:Qwen/Qwen3-8B';
  const lacks = async (on: Machine) => {
    const { compiled } = await find(source, on);
    return PRECISIONS.map((precision) => compiled![precision].lacks.join(' '));
  };

  test('fits 16 GB of memory at int8 and not at fp32', async () => {
    expect(await lacks(machine(16, 100))).toEqual(['memory', '', '']);
  });

  test('and its 16.4 GB of files must fit beside what is compiled, unless that is on another disk', async () => {
    expect(await lacks(machine(64, 25))).toEqual(['disk', 'disk', '']);
    expect(await lacks(machine(64, 17, 10))).toEqual(['disk', '', '']);
    expect(await lacks(machine(64, 16, 100))).toEqual(['disk', 'disk', 'disk']);
  });

  test('once it is here needs room for what is not compiled', async () => {
    const revision = 'b968826d9c46dd6066d109eabc6255188de91218';
    const repository = join(root, 'hub', 'models--Qwen--Qwen3-8B');
    const snapshot = join(repository, 'snapshots', revision);
    await Promise.all([mkdir(join(repository, 'refs'), { recursive: true }), mkdir(snapshot, { recursive: true })]);
    await writeFile(join(repository, 'refs', 'main'), revision);
    for (const file of ['config.json', 'tokenizer.json', 'model.safetensors']) await writeFile(join(snapshot, file), '{}');
    const tiny = await LanguageModel.open(fileURLToPath(new URL('../fixtures/tiny-llama', import.meta.url)));
    const { formatVersion } = JSON.parse(await readFile(join(dirname((await tiny.compile()).graph), 'manifest.json'), 'utf8'));
    await tiny.close();
    const graph = (precision: Precision, formatVersion: number) =>
      cached('graphs', `qwen3-${precision}-0123456789abcdef`, async ({ path }) => {
        await writeFile(join(path, 'manifest.json'), JSON.stringify({ formatVersion, precision }));
        return { source: snapshot, files: [] };
      });
    await graph('int8', formatVersion);
    // Weights of an older layout are compiled anew.
    await graph('int4', formatVersion - 1);
    const { path, compiled } = await find(source, machine(64, 1));
    expect(path).toBe(snapshot);
    expect(PRECISIONS.map((precision) => compiled![precision].present)).toEqual([false, true, false]);
    expect(await lacks(machine(64, 1))).toEqual(['disk', '', 'disk']);
    expect((await find('hf:Qwen/Qwen3-4B', machine(64, 1))).path).toBeNull();
  });
});
