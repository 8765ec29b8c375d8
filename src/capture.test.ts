import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ActivationDirectory } from './activations/directory.js';
import { capture } from './capture.js';
import { precisionError } from './diagnosis/precision-error.js';
import { LanguageModel } from './model/language-model.js';
import type { Precision } from './model/precision.js';

const tinyLlama = fileURLToPath(new URL('../fixtures/tiny-llama', import.meta.url));

let root: string;
let model: LanguageModel;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'capture-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  model = await LanguageModel.open(tinyLlama, { threads: 1 });
});
afterEach(async () => {
  await model.close();
  await rm(root, { recursive: true });
});

test('tells in the manifest what the precision costs; each precision makes another directory', async () => {
  const texts = ['a bad deed', 'a cab'];
  const [exact, reduced] = [
    await capture({ model, texts, out: join(root, 'fp32') }),
    await capture({ model, texts, out: join(root, 'int8'), precision: 'int8' }),
  ];
  expect(exact.details.precisionError).toBeNull();
  expect(reduced.details.precisionError).toEqual(await precisionError(model, 'int8'));
  expect(reduced.details.model.precision).toBe('int8');
  expect(reduced.manifest.options.precision).toBe('int8');
  const again = capture({ model, texts, out: join(root, 'int8') });
  await expect(again).rejects.toMatchObject({ code: 'misuse', message: expect.stringContaining('precision') });
  const [a, b] = [await exact.read(1, 'last'), await reduced.read(1, 'last')];
  expect(a).not.toEqual(b);

  // One that an older version measured is not taken for one of ours.
  const path = join(reduced.path, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  manifest.details.precisionError.version = 1;
  await writeFile(path, JSON.stringify(manifest));
  expect((await ActivationDirectory.open(reduced.path)).details.precisionError).toBeNull();
});

test('of what is no precision there is none', async () => {
  const attempt = capture({ model, texts: ['a'], out: join(root, 'x'), precision: 'fp16' as Precision });
  await expect(attempt).rejects.toMatchObject({ name: 'MoralscopeError', code: 'misuse' });
});
