import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sha256 } from '../artifact/files.js';
import { cacheDirectory, cached, cacheEntries, findCached, removeCacheEntry, verifyCacheEntry } from './cache.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'moralscope-cache-'));
  vi.stubEnv('MORALSCOPE_CACHE', directory);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true, force: true });
});

async function make(name: string, content = 'content', kind: 'models' | 'datasets' | 'graphs' = 'models') {
  return cached(kind, name, async ({ path }) => {
    await writeFile(join(path, 'file'), content);
    return { source: 'test', files: [{ name: 'file', bytes: content.length, sha256: sha256(content) }] };
  });
}

describe('cacheDirectory', () => {
  test('MORALSCOPE_CACHE, then XDG_CACHE_HOME, then the home directory', () => {
    expect(cacheDirectory({ MORALSCOPE_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(cacheDirectory({ XDG_CACHE_HOME: '/b' })).toBe('/b/moralscope');
    expect(cacheDirectory({})).toBe(join(homedir(), '.cache', 'moralscope'));
  });
});

describe('cached', () => {
  test('fills once and finds it afterwards', async () => {
    expect(await findCached('models', 'm')).toBeUndefined();
    const first = await make('m');
    const again = await cached('models', 'm', () => Promise.reject(new Error('filled twice')));
    expect(again).toEqual(first);
    expect(again.record).toMatchObject({ kind: 'models', name: 'm', source: 'test', files: [{ name: 'file', bytes: 7 }] });
    expect(existsSync(join(first.path, '.work'))).toBe(false);
  });

  test('an interrupted filling does not look whole, and its work is there for the next', async () => {
    const cut = cached('models', 'm', async ({ path, work }) => {
      await writeFile(join(path, 'file'), 'content');
      await writeFile(join(work, 'half'), 'ha');
      throw new Error('cut');
    });
    await expect(cut).rejects.toThrow('cut');
    expect(await findCached('models', 'm')).toBeUndefined();
    expect(await cacheEntries()).toMatchObject([{ id: 'models/m', bytes: 9 }]);
    expect((await cacheEntries())[0].record).toBeUndefined();
    await cached('models', 'm', async ({ path, work }) => {
      expect(existsSync(join(work, 'half'))).toBe(true);
      await writeFile(join(path, 'file'), 'content');
      return { source: 'test', files: [{ name: 'file', bytes: 7, sha256: sha256('content') }] };
    });
    expect((await cacheEntries())[0].record).toBeDefined();
  });

  test('two at once: one fills, the other waits and uses it', async () => {
    let fills = 0;
    const tasks: string[] = [];
    const one = () =>
      cached(
        'models',
        'm',
        async ({ path }) => {
          fills++;
          await new Promise((done) => setTimeout(done, 200));
          await writeFile(join(path, 'file'), 'content');
          return { source: 'test', files: [{ name: 'file', bytes: 7, sha256: sha256('content') }] };
        },
        { onProgress: ({ task }) => tasks.push(task) },
      );
    const [a, b] = await Promise.all([one(), one()]);
    expect(fills).toBe(1);
    expect(a).toEqual(b);
    expect(tasks[0]).toBe(`m: waiting for process ${process.pid}`);
  });

  test('a file of another size, or a broken record, is filled anew', async () => {
    const { path } = await make('m');
    await truncate(join(path, 'file'), 3);
    expect(await findCached('models', 'm')).toBeUndefined();
    await make('m');
    expect(await findCached('models', 'm')).toBeDefined();
    await writeFile(join(path, 'entry.json'), '{"format"');
    expect(await findCached('models', 'm')).toBeUndefined();
  });

  test('a name that is no plain name is refused', async () => {
    for (const name of ['../x', 'a/b', '', '.hidden']) await expect(make(name)).rejects.toMatchObject({ code: 'misuse' });
  });
});

describe('cacheEntries, removeCacheEntry, verifyCacheEntry', () => {
  test('lists every kind, and what is not ours is left alone', async () => {
    await make('b');
    await make('a', 'xx', 'graphs');
    await mkdir(join(directory, 'elsewhere', 'z'), { recursive: true });
    expect((await cacheEntries()).map((entry) => entry.id)).toEqual(['graphs/a', 'models/b']);
    vi.stubEnv('MORALSCOPE_CACHE', join(directory, 'absent'));
    expect(await cacheEntries()).toEqual([]);
  });

  test('removes by id or by name, and refuses what is unknown or ambiguous', async () => {
    await make('smollm2-135m');
    await make('twice');
    await make('twice', 'x', 'datasets');
    await expect(removeCacheEntry('smolm2-135m')).rejects.toMatchObject({ code: 'not-found', fix: 'Did you mean smollm2-135m?' });
    await expect(removeCacheEntry('twice')).rejects.toMatchObject({ code: 'misuse' });
    await removeCacheEntry('smollm2-135m');
    await removeCacheEntry('models/twice');
    expect((await cacheEntries()).map((entry) => entry.id)).toEqual(['datasets/twice']);
  });

  test('does not remove what is being filled', async () => {
    const filling = cached('models', 'm', async () => {
      await expect(removeCacheEntry('m')).rejects.toMatchObject({ code: 'locked' });
      return { source: 'test', files: [] };
    });
    await filling;
    await removeCacheEntry('m');
    expect(await cacheEntries()).toEqual([]);
  });

  test('verifies content, size, presence', async () => {
    const { path } = await make('m');
    expect(await verifyCacheEntry('m')).toMatchObject({ unfinished: false, faults: [] });
    await writeFile(join(path, 'file'), 'konTENT');
    expect((await verifyCacheEntry('m')).faults[0]).toContain(`sha256 ${sha256('konTENT')}, expected ${sha256('content')}`);
    await writeFile(join(path, 'file'), 'short');
    expect((await verifyCacheEntry('m')).faults[0]).toContain('has 5 bytes, expected 7');
    await rm(join(path, 'file'));
    expect((await verifyCacheEntry('m')).faults[0]).toContain('is missing');
    await rm(join(path, 'entry.json'));
    expect(await verifyCacheEntry('m')).toMatchObject({ unfinished: true, faults: [] });
  });
});
