import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { jsonLines, readResult } from './result.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'moralscope-result-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const Schema = z.object({ value: z.number() });

test('gives what was written', async () => {
  const path = join(root, 'sound');
  await writeFile(path, '{"value": 3}\n');
  expect(await readResult(path, Schema)).toEqual({ value: 3 });
  await writeFile(path, '{"value": 3}\n{"value": 4}\n');
  expect(await readResult(path, z.array(Schema), jsonLines)).toEqual([{ value: 3 }, { value: 4 }]);
});

test.each([
  ['missing', undefined, /missing is missing\.$/],
  ['cut', '{"value": ', /cut is damaged: .*JSON/],
  ['empty', '', /empty is damaged: .*JSON/],
  ['other', '{"value": "3"}', /other is damaged: value .*number/],
])('%s: the file is named, and what to do', async (name, content, message) => {
  const path = join(root, name);
  if (content !== undefined) await writeFile(path, content);
  await expect(readResult(path, Schema)).rejects.toMatchObject({
    code: 'bad-file',
    message: expect.stringMatching(message),
    fix: `Remove the directory ${root}, and run the command that made it again.`,
  });
});

test('a directory in its place', async () => {
  await mkdir(join(root, 'directory'));
  await expect(readResult(join(root, 'directory'), Schema)).rejects.toMatchObject({ code: 'bad-file' });
});
