import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { boundaryTokens } from './boundary-tokens.js';
import { type Checkpoint, openCheckpoint } from './checkpoint.js';
import type { Tokenizer } from './tokenizer.js';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'boundary-'));
  await cp(fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url)), directory, { recursive: true });
});
afterAll(() => rm(directory, { recursive: true }));

async function found(changes: Partial<Checkpoint> = {}, tokenizer: Partial<Tokenizer> = {}) {
  const checkpoint = await openCheckpoint(directory);
  try {
    return await boundaryTokens({ ...checkpoint, ...changes }, { ...(await checkpoint.tokenizer()), ...tokenizer });
  } finally {
    await checkpoint.close();
  }
}

test('of a directory: both configurations, each end once', async () => {
  expect(await found()).toEqual({ begin: 0, ends: [1] });
  await writeFile(join(directory, 'generation_config.json'), JSON.stringify({ bos_token_id: 7, eos_token_id: [5, 1, 3] }));
  expect(await found()).toEqual({ begin: 7, ends: [1, 3, 5] });
  expect(await found({}, { bosId: 9, eosId: 8 })).toEqual({ begin: 9, ends: [1, 3, 5, 8] });
  const nested = { eos_token_id: undefined, text_config: { eos_token_id: 11 } };
  expect((await found({ metadata: nested })).ends).toEqual([1, 3, 5, 11]);
  await writeFile(join(directory, 'generation_config.json'), '{');
  await expect(found()).rejects.toMatchObject({ code: 'bad-file' });
});

test('of a GGUF: its metadata, and ends of turns that the chat template writes', async () => {
  const metadata = { 'tokenizer.ggml.eos_token_id': 1, 'tokenizer.ggml.eot_token_id': 6 };
  const gguf = { format: 'gguf', metadata } as const;
  expect(await found(gguf)).toEqual({ begin: undefined, ends: [1, 6] });
  const idOf = (piece: string) => (piece === '<|im_end|>' ? 40 : piece === '<|eot_id|>' ? 41 : undefined);
  expect((await found(gguf, { idOf, chatTemplate: '{{ m }}<|im_end|>' })).ends).toEqual([1, 6, 40]);
});
