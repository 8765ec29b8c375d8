import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { cacheEntries } from '../checkpoint/cache.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { mapDecoder } from './family.js';
import { LanguageModel } from './language-model.js';
import { requireMemory } from './memory.js';
import { STUDY_MODELS } from './study-models.js';

const { config } = STUDY_MODELS.find(({ source }) => source === 'hf:Qwen/Qwen3-8B')!;
const { spec } = mapDecoder({
  path: 'Qwen3-8B',
  format: 'safetensors',
  architecture: 'qwen3',
  metadata: { ...config },
  tensors: { names: () => [], has: () => false },
} as unknown as Checkpoint);
const refusal = (options: Parameters<typeof requireMemory>[2], free: number) => {
  try {
    requireMemory('Qwen3-8B', spec, options, free);
  } catch (error) {
    return error;
  }
};

test('fp32 of 8B is refused where its blocks do not fit, with what it needs and what there is', () => {
  // 36 blocks of 4096 x (6144 + 4096 + 3 * 12288) numbers.
  expect(refusal({}, 20e9)).toMatchObject({
    code: 'memory',
    message: 'Qwen3-8B at fp32 needs 27.8 GB of memory for the matrices of 36 of its layers alone, and 20.0 GB are free.',
    fix: expect.stringMatching(/int8 \(about 1\d\.\d GB in all\) or int4/),
  });
  expect(refusal({ logits: 'last' }, 27.7e9)).toBeDefined();
});

test('what may fit is not refused', () => {
  expect(refusal({}, 27.9e9)).toBeUndefined();
  expect(refusal({ precision: 'int8', logits: 'last' }, 1e9)).toBeUndefined();
  expect(refusal({ sites: ['blocks.3.hook_resid_post'] }, 4e9)).toBeUndefined();
  expect(refusal({ sites: ['blocks.3.hook_resid_post'] }, 3e9)).toMatchObject({
    message: expect.stringContaining('of 4 of its layers'),
  });
  expect(refusal({ sites: [], given: 'blocks.31.hook_resid_post', logits: 'all' }, 4e9)).toBeUndefined();
  expect(refusal({}, 0)).toBeUndefined();
});

test('a model is refused before anything is written', async () => {
  const root = await mkdtemp(join(tmpdir(), 'memory-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  const model = await LanguageModel.open(fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url)), { threads: 1 });
  const memory = vi.spyOn(process, 'availableMemory').mockReturnValue(1000);
  try {
    await expect(model.session()).rejects.toMatchObject({ name: 'MoralscopeError', code: 'memory' });
    expect(await cacheEntries()).toEqual([]);
    memory.mockRestore();
    await (await model.session()).close();
  } finally {
    memory.mockRestore();
    await model.close();
    await rm(root, { recursive: true });
  }
});
