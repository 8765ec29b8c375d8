import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ModelServer, type ModelServerOptions } from './model-server.js';
import { type Served, serve, tinyModel } from './served.test.support.js';

let tiny: Awaited<ReturnType<typeof tinyModel>>;
let served: Served;
beforeAll(async () => {
  tiny = await tinyModel();
  served = await serve(tiny.path);
});
afterAll(async () => {
  await served.close();
  await tiny.remove();
});

describe('who may ask', () => {
  /** `fetch` does not let a Host be given. */
  const from = (headers: Record<string, string>, of = served.server.url) =>
    new Promise<{ status: number | undefined; code: string | undefined; allowed: string | undefined }>((resolve, reject) => {
      const asked = request(`${of}/v1/models`, { headers }, (response) => {
        let text = '';
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () =>
          resolve({
            status: response.statusCode,
            code: JSON.parse(text).error?.code,
            allowed: response.headers['access-control-allow-origin'],
          }),
        );
      });
      asked.on('error', reject);
      asked.end();
    });

  test('by Host and Origin', async () => {
    const { port } = new URL(served.url);
    const ok = { status: 200, code: undefined, allowed: undefined };
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST`, `[::1]:${port}`])
      expect(await from({ host })).toEqual(ok);
    for (const host of ['evil.example', `localhost.evil.example:${port}`, '192.168.0.7', 'evil example'])
      expect((await from({ host })).status).toBe(host.includes(' ') ? 400 : 403);
    expect(await from({ host: `localhost:${port}`, origin: `http://localhost:${port}` })).toEqual(ok);
    for (const origin of ['http://evil.example', `http://localhost:${Number(port) + 1}`, 'null'])
      expect(await from({ origin })).toMatchObject({ status: 403, code: 'wrong_origin' });
  });

  test('by further names and origins, and by key, which is told nobody', async () => {
    const lines: string[] = [];
    const options: ModelServerOptions = {
      ...{ hosts: ['models.example'], origins: ['http://page.example'], apiKey: 'secret-key', port: 0 },
      onRequest: (line) => lines.push(line),
    };
    const server = await ModelServer.start(served.model, options);
    const key = { authorization: 'Bearer secret-key' };
    const page = { origin: 'http://page.example' };
    try {
      expect(await from({ host: 'models.example', ...key }, server.url)).toMatchObject({ status: 200 });
      expect(await from({ ...page, ...key }, server.url)).toMatchObject({ status: 200, allowed: page.origin });
      for (const wrong of [
        {},
        { authorization: 'Bearer secret-kez' },
        { authorization: 'Basic secret-key' },
        { authorization: 'Bearer ' },
      ])
        expect(await from({ ...wrong }, server.url)).toMatchObject({ status: 401, code: 'invalid_api_key' });
      expect((await fetch(`${server.url}/health`)).status).toBe(200);
      const preflight = await fetch(`${server.url}/v1/completions`, {
        method: 'OPTIONS',
        headers: { ...page, 'access-control-request-method': 'POST' },
      });
      expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, page.origin]);
      expect(lines).toHaveLength(8);
      expect(lines.join('\n')).not.toContain('secret');
    } finally {
      await server.stop();
    }
  });
});
