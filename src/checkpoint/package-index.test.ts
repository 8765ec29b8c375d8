import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type LocalServer, serve } from './local-server.test.support.js';
import { configuredIndex, findWheel } from './package-index.js';

const sha256 = 'ab'.repeat(32);
const servers: LocalServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function index(type: string, body: string): Promise<LocalServer> {
  const server = await serve((request, response) => {
    if (request.url !== '/simple/my-model/') response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': type }).end(body);
  });
  servers.push(server);
  return server;
}

const json = JSON.stringify({
  files: [
    { filename: 'my_model-1.10.0-py3-none-any.whl', url: '../../files/ten.whl', hashes: { sha256 }, size: 5 },
    { filename: 'my_model-1.9.0-py3-none-any.whl', url: 'https://files.example/nine.whl', hashes: {} },
    { filename: 'my_model-1.10.0-cp311-cp311-linux_x86_64.whl', url: 'linux.whl', hashes: {} },
    { filename: 'my_model-2.0.0rc1-py3-none-any.whl', url: 'rc.whl', hashes: {} },
    { filename: 'my_model-3.0.0-py3-none-any.whl', url: 'yanked.whl', hashes: {}, yanked: 'broken' },
    { filename: 'my_model-4.0.0.tar.gz', url: 'source.tar.gz', hashes: {} },
    { filename: 'my_model_extra-5.0.0-py3-none-any.whl', url: 'extra.whl', hashes: {} },
    { filename: 17 },
    null,
  ],
});
const html = `<!DOCTYPE html><html><body>
<a href="../../files/ten.whl?x=1&amp;y=2#sha256=${sha256}" data-requires-python="&gt;=3.9">my_model-1.10.0-py3-none-any.whl</a><br/>
<a href='https://files.example/nine.whl' >my_model-1.9.0-py3-none-any.whl</a>
<a data-yanked="broken" href="y.whl">my_model-3.0.0-py3-none-any.whl</a>
</body></html>`;

describe('findWheel', () => {
  test('JSON: the newest release for any platform, its hash and size, its address against the page', async () => {
    const server = await index('application/vnd.pypi.simple.v1+json', json);
    const at = { url: `${server.url}/simple/`, headers: { authorization: 'Basic hush' } };
    expect(await findWheel(at, 'My.Model', undefined)).toEqual({
      filename: 'my_model-1.10.0-py3-none-any.whl',
      version: '1.10.0',
      url: `${server.url}/files/ten.whl`,
      headers: at.headers,
      sha256,
      bytes: 5,
    });
    expect(server.requests[0].headers).toMatchObject({
      accept: expect.stringContaining('application/vnd.pypi.simple.v1+json'),
      authorization: 'Basic hush',
    });
    // The login is for the index alone.
    expect(await findWheel(at, 'my-model', '1.9.0')).toMatchObject({ url: 'https://files.example/nine.whl', headers: {} });
    expect(await findWheel(at, 'my-model', '3.0.0')).toMatchObject({ version: '3.0.0' });
  });

  test('HTML: the same, with the hash of the fragment', async () => {
    const server = await index('text/html; charset=utf-8', html);
    const at = { url: `${server.url}/simple/`, headers: {} };
    expect(await findWheel(at, 'my_model', undefined)).toEqual({
      filename: 'my_model-1.10.0-py3-none-any.whl',
      version: '1.10.0',
      url: `${server.url}/files/ten.whl?x=1&y=2`,
      headers: {},
      sha256,
    });
    expect((await findWheel(at, 'my_model', '1.9.0')).sha256).toBeUndefined();
  });

  test('an unknown version names the nearest, an unknown package the address', async () => {
    const server = await index('application/json', json);
    const at = { url: `${server.url}/simple/`, headers: {} };
    await expect(findWheel(at, 'my-model', '1.11.0')).rejects.toMatchObject({
      code: 'not-found',
      fix: 'Did you mean 1.10.0?',
    });
    await expect(findWheel(at, 'other', undefined)).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('/simple/other/ does not exist'),
    });
  });

  test('an answer that is not JSON', async () => {
    const server = await index('application/json', '{"files": [');
    await expect(findWheel({ url: `${server.url}/simple/`, headers: {} }, 'my-model', undefined)).rejects.toMatchObject({
      code: 'bad-file',
    });
  });
});

describe('configuredIndex', () => {
  test('the environment first, login apart', async () => {
    expect(
      await configuredIndex({ PIP_INDEX_URL: 'https://me:p%40ss@index.example/simple', UV_INDEX_URL: 'https://other' }),
    ).toEqual({
      url: 'https://index.example/simple/',
      headers: { authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}` },
    });
    expect(await configuredIndex({ UV_INDEX_URL: 'http://127.0.0.1:1/simple/' })).toEqual({
      url: 'http://127.0.0.1:1/simple/',
      headers: {},
    });
    expect(await configuredIndex({ PIP_CONFIG_FILE: devNull })).toBeUndefined();
  });

  test("pip's configuration file: [download] before [global]", async () => {
    const directory = await mkdtemp(join(tmpdir(), 'moralscope-pip-'));
    try {
      const file = join(directory, 'pip.conf');
      await writeFile(file, '[global]\nindex-url = https://global.example/simple\nextra-index-url = https://x\n');
      expect(await configuredIndex({ PIP_CONFIG_FILE: file })).toMatchObject({ url: 'https://global.example/simple/' });
      await writeFile(file, '[download]\r\nindex_url: https://download.example\r\n[global]\r\nindex-url=https://g\r\n');
      expect(await configuredIndex({ PIP_CONFIG_FILE: file })).toMatchObject({ url: 'https://download.example/' });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('an address that cannot be one is misuse, and is not repeated (it may hold a password)', async () => {
    for (const url of ['no url', 'file:///secret/simple']) {
      const error = await configuredIndex({ PIP_INDEX_URL: url }).catch((e: Error) => e);
      expect(error).toMatchObject({ code: 'misuse' });
      expect((error as Error).message).not.toContain('secret');
    }
  });
});
