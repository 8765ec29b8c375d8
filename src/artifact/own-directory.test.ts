import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ArtifactDirectory, type ArtifactIdentity } from './directory.js';

let path: string;

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'moralscope-own-'));
});
afterEach(() => rm(path, { recursive: true, force: true }));

const identity: ArtifactIdentity = { format: 'moralscope.test', formatVersion: 1, seed: 0, options: {}, inputs: [] };
const open = (nested?: string[]) => ArtifactDirectory.open(path, identity, nested);

/** Writes an empty file, and the directories that it lies in. */
async function put(name: string): Promise<void> {
  await mkdir(dirname(join(path, name)), { recursive: true });
  await writeFile(join(path, name), '');
}

test.each(['draft.tmp', 'rows.parquet', '.git/config', 'corpus/manifest.json', '.lock.mine', 'a.b.tmp'])(
  "a directory with somebody's %s is refused, and left as it is",
  async (name) => {
    await put(name);
    await put('x.4711.tmp');
    await expect(open()).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringContaining(`${path} was not made by moralscope: it holds ${name.split('/')[0]}.`),
      fix: expect.stringContaining('Choose another --out'),
    });
    expect((await readdir(path)).sort()).toEqual([name.split('/')[0], 'x.4711.tmp'].sort());
  },
);

test('what a process killed before it began has left is taken up', async () => {
  for (const name of ['.lock.123e4567-e89b-12d3-a456-426614174000', '.begun.json.4711.tmp']) await put(name);
  await writeFile(join(path, '.lock'), JSON.stringify({ pid: 2 ** 30, host: hostname(), token: 'x' }));
  const directory = await open();
  expect((await readdir(path)).sort()).toEqual(expect.arrayContaining(['.begun.json', '.lock']));
  await directory.close();
});

test('an artifact, begun or finished, is taken up with all that it holds', async () => {
  await (await open()).close();
  await put('rows.parquet');
  const directory = await open();
  await directory.finish({});
  await put('notes.txt');
  await (await open()).close();
  expect((await readdir(path)).sort()).toEqual(['manifest.json', 'notes.txt', 'rows.parquet']);
});

test('artifacts may stand where the artifact itself is not begun, by name', async () => {
  const inner = join(path, 'corpus');
  await (await ArtifactDirectory.open(inner, identity)).finish({});
  await put('corpus/rows.parquet');
  await put('activations/.lock.123e4567-e89b-12d3-a456-426614174000');
  await expect(open()).rejects.toMatchObject({
    code: 'misuse',
    message: expect.stringMatching(/it holds (corpus|activations)\./),
  });
  await expect(open(['corpus'])).rejects.toMatchObject({ message: expect.stringContaining('it holds activations.') });
  await (await open(['corpus', 'activations'])).close();
});

test('a folder of that name that is no artifact is not taken for one', async () => {
  await put('corpus/mine.txt');
  await expect(open(['corpus'])).rejects.toMatchObject({
    code: 'misuse',
    message: expect.stringContaining(`it holds ${join('corpus', 'mine.txt')}.`),
  });
});

test.each(['', ' '])('the path %j is refused', async (empty) => {
  const before = await readdir('.');
  await expect(ArtifactDirectory.open(empty, identity)).rejects.toMatchObject({ code: 'misuse' });
  expect(await readdir('.')).toEqual(before);
});

test('a manifest.json that is a directory, or of another program, is told by name', async () => {
  await mkdir(join(path, 'manifest.json'));
  const refusal = {
    code: 'bad-file',
    message: expect.stringContaining('manifest.json'),
    fix: expect.stringContaining('another'),
  };
  await expect(open()).rejects.toMatchObject(refusal);
  await rm(join(path, 'manifest.json'), { recursive: true });
  await writeFile(join(path, 'manifest.json'), '{"name": "an extension"}');
  await expect(open()).rejects.toMatchObject(refusal);
  expect(await readFile(join(path, 'manifest.json'), 'utf8')).toBe('{"name": "an extension"}');
});
