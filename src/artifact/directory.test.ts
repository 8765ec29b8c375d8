import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ArtifactDirectory, type ArtifactIdentity, readManifest } from './directory.js';

const identity: ArtifactIdentity = {
  format: 'moralscope.test',
  formatVersion: 1,
  seed: 0,
  options: { layers: [1, 2], pool: 'last', nested: { b: 1, a: 2 } },
  inputs: [{ name: 'corpus', sha256: 'aa' }],
};

let parent: string;
let path: string;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'moralscope-artifact-'));
  path = join(parent, 'deep', 'artifact');
});

afterEach(() => rm(parent, { recursive: true, force: true }));

async function made(details: Record<string, unknown> = {}): Promise<void> {
  const directory = await ArtifactDirectory.open(path, identity);
  await directory.finish(details);
}

describe('ArtifactDirectory', () => {
  test('is whole once its manifest is written, and holds nothing else then', async () => {
    const directory = await ArtifactDirectory.open(path, identity);
    expect(directory.finished).toBeUndefined();
    expect(directory.file('x')).toBe(join(path, 'x'));
    await expect(readManifest(path, identity.format)).rejects.toMatchObject({ code: 'not-found' });
    const manifest = await directory.finish({ texts: 3 });
    expect(await readdir(path)).toEqual(['manifest.json']);
    expect(manifest).toMatchObject({ ...identity, details: { texts: 3 }, tool: { name: 'moralscope' } });
    expect(await readManifest(path, identity.format)).toEqual(manifest);
    const again = await ArtifactDirectory.open(path, {
      ...identity,
      options: { nested: { a: 2, b: 1 }, pool: 'last', layers: [1, 2] },
    });
    expect(again.finished).toEqual(manifest);
    await again.close();
  });

  test('refuses a second opener while the first has it, here and in another process', async () => {
    const first = await ArtifactDirectory.open(path, identity);
    const refusal = { code: 'locked', message: expect.stringContaining(`process ${process.pid} on ${hostname()}`) };
    await expect(ArtifactDirectory.open(path, identity)).rejects.toMatchObject(refusal);
    const script = `import(${JSON.stringify(new URL('./directory.js', import.meta.url).href)}).then(({ ArtifactDirectory }) =>
      ArtifactDirectory.open(process.argv[1], JSON.parse(process.argv[2]))).catch((e) => console.log(e.code, e.message))`;
    const other = spawnSync(process.execPath, ['-e', script, path, JSON.stringify(identity)], { encoding: 'utf8' });
    expect(other.stdout).toContain(`locked ${path} is in use: `);
    await first.close();
    await (await ArtifactDirectory.open(path, identity)).close();
  });

  test('a refused opener does not take the lock away', async () => {
    const first = await ArtifactDirectory.open(path, identity);
    for (let i = 0; i < 3; i++) await expect(ArtifactDirectory.open(path, identity)).rejects.toMatchObject({ code: 'locked' });
    await first.close();
    await first.close();
  });

  test('one that was closed does not free what another opened since', async () => {
    const first = await ArtifactDirectory.open(path, identity);
    await first.close();
    const second = await ArtifactDirectory.open(path, identity);
    await first.close();
    await expect(ArtifactDirectory.open(path, identity)).rejects.toMatchObject({ code: 'locked' });
    await second.close();
  });

  test('takes over from a killed process, with the work it left, but for half-written files', async () => {
    const script = `import(${JSON.stringify(new URL('./directory.js', import.meta.url).href)}).then(({ ArtifactDirectory }) =>
      ArtifactDirectory.open(process.argv[1], JSON.parse(process.argv[2]))).then(() => { console.log('open'); setInterval(() => {}, 1000); })`;
    const child = spawn(process.execPath, ['-e', script, path, JSON.stringify(identity)]);
    await once(child.stdout, 'data');
    await expect(ArtifactDirectory.open(path, identity)).rejects.toMatchObject({ code: 'locked' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await writeFile(join(path, 'shard-0'), 'done');
    await writeFile(join(path, `shard-1.${child.pid}.tmp`), 'half');
    await mkdir(join(path, 'part'));
    await writeFile(join(path, 'part', `weights.${child.pid}.tmp`), 'half');
    const directory = await ArtifactDirectory.open(path, identity);
    expect(directory.finished).toBeUndefined();
    expect(await readFile(directory.file('shard-0'), 'utf8')).toBe('done');
    await directory.finish({});
    expect((await readdir(path, { recursive: true })).sort()).toEqual(['manifest.json', 'part', 'shard-0']);
  });

  test.each([
    [{ seed: 1 }, /seed was 0, now 1/],
    [{ options: { ...identity.options, pool: 'mean' } }, /pool was "last", now "mean"/],
    [{ options: { layers: [1, 2], pool: 'last', nested: { a: 2, b: 1 }, template: 'x' } }, /template was not set, now "x"/],
    [{ options: { layers: [2, 1], nested: { a: 2, b: 1 } } }, /layers was \[1,2\], now \[2,1\]; pool was "last", now not set/],
    [{ formatVersion: 2 }, /format version was 1, now 2/],
    [{ format: 'moralscope.other' }, /finished moralscope.test made otherwise: a moralscope.other is to be made/],
    [{ inputs: [{ name: 'corpus', sha256: 'bb' }] }, /other content of the inputs corpus/],
    [{ inputs: [] }, /other content of the inputs corpus/],
  ] as [Partial<ArtifactIdentity>, RegExp][])('other options %j are named, finished or not', async (change, message) => {
    const other = { ...identity, ...change };
    await (await ArtifactDirectory.open(path, identity)).close();
    await expect(ArtifactDirectory.open(path, other)).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringMatching(message),
    });
    await made();
    await expect(ArtifactDirectory.open(path, other)).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringMatching(message),
    });
    // The refusal freed the lock.
    await (await ArtifactDirectory.open(path, identity)).close();
  });

  test('a file in the way', async () => {
    await writeFile(join(parent, 'deep'), '');
    await expect(ArtifactDirectory.open(path, identity)).rejects.toMatchObject({ code: 'misuse' });
    await expect(ArtifactDirectory.open(join(parent, 'deep'), identity)).rejects.toMatchObject({ code: 'misuse' });
  });

  test('a manifest that is none', async () => {
    await mkdir(path, { recursive: true });
    for (const name of ['manifest.json', '.begun.json'])
      for (const content of ['{', '[]', '{"format": 1}']) {
        await writeFile(join(path, name), content);
        await expect(ArtifactDirectory.open(path, identity)).rejects.toMatchObject({
          code: 'bad-file',
          message: expect.stringContaining(name),
        });
        await rm(join(path, name));
      }
  });
});

describe('readManifest', () => {
  test('wants the format it asks for', async () => {
    await made();
    await expect(readManifest(path, 'moralscope.corpus')).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('holds a moralscope.test, where a moralscope.corpus is needed'),
    });
  });

  test.each([
    ['moralscope.corpus', 'moralscope corpus build'],
    ['moralscope.activations', 'moralscope capture'],
    ['moralscope.remedy', 'moralscope align'],
  ])('of a %s that is not there says what makes one', async (format, command) => {
    const refusal = (message: string) => ({
      code: 'not-found',
      message: expect.stringContaining(message),
      fix: expect.stringContaining(command),
    });
    await expect(readManifest('starter', format)).rejects.toMatchObject(refusal(`starter does not exist; a ${format} directory`));
    await expect(readManifest(parent, format)).rejects.toMatchObject(refusal('has no manifest.json'));
    await writeFile(join(parent, 'table.tsv'), '');
    await expect(readManifest(join(parent, 'table.tsv'), format)).rejects.toMatchObject(refusal('is a file'));
  });

  test('of one that is unfinished says to go on with it', async () => {
    await (await ArtifactDirectory.open(path, identity)).close();
    await expect(readManifest(path, identity.format)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('is unfinished'),
      fix: expect.stringContaining('goes on'),
    });
  });
});
