import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tinyModel } from '../serving/served.test.support.js';

/** @file generate, chat and serve as real processes. */

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const BASE = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
let root: string;
let tiny: Awaited<ReturnType<typeof tinyModel>>;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'cli-serving-'));
  tiny = await tinyModel();
});
afterAll(async () => {
  await tiny.remove();
  await rm(root, { recursive: true, force: true });
});

function start(args: readonly string[], { input = '', env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {}) {
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...inherited, ...env, MORALSCOPE_CACHE: join(root, 'cache'), MORALSCOPE_OFFLINE: '1' },
    cwd: root,
  });
  const told = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      told[stream] += text;
    });
  child.stdin.end(input);
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...told }));
  return { child, told, ended };
}

test('generate answers a file of prompts', async () => {
  await writeFile(join(root, 'prompts.txt'), 'the tin\na hat\n');
  const args = ['generate', '--model', tiny.path, '--prompts', 'prompts.txt', '--out', 'answers.jsonl', '--max-tokens', '3'];
  const { code, stdout, stderr } = await start([...args, '--ignore-eos', '--stop', 'zz, ', '--stop', '\n\n', '--json']).ended;
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('2 / 2 texts') });
  expect(JSON.parse(stdout)).toEqual({ out: 'answers.jsonl', prompts: 2, added: 2, tokens: 6 });
  expect((await readFile(join(root, 'answers.jsonl'), 'utf8')).split('\n')).toHaveLength(3);
  const other = await start([...args, '--stop', 'zz']).ended;
  expect(other).toMatchObject({ code: 2, stdout: '' });
  expect(other.stderr).toMatch(/begun with other options: stop \["zz, ","\\n\\n"\], now \["zz"\]; ignoreEos true, now false\./);
});

test('chat takes a line of a pipe for a turn; a base model is told to generate', async () => {
  const input = 'a hat\n/jump\n/quit\nthe tin\n';
  const flags = ['--max-tokens', '3', '--temperature', '0'];
  const talked = await start(['chat', '--model', tiny.path, ...flags], { input }).ended;
  expect(talked).toMatchObject({ code: 0, stdout: expect.stringMatching(/^.*\nThere is no \/jump\..*\n$/) });
  const json = await start(['chat', '--model', tiny.path, ...flags, '--json'], { input }).ended;
  const { turns } = JSON.parse(json.stdout) as { turns: { answer: string }[] };
  expect(turns).toEqual([{ question: 'a hat', answer: talked.stdout.split('\n')[0], as: 'unsteered' }]);
  const base = await start(['chat', '--model', BASE], { input }).ended;
  expect(base).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/no chat template[\s\S]*Use generate/) });
});

test('serve asks for the key, stops when told, and at once when told twice', async () => {
  const args = ['serve', '--model', tiny.path, '--port', '0', '--api-key-env', 'KEY', '--log'];
  const listening = async ({ child, told }: ReturnType<typeof start>) => {
    while (child.exitCode === null) {
      const [, url] = /Serving .* at (\S+)\n/.exec(told.stderr) ?? [];
      if (url) return url;
      await new Promise((done) => setTimeout(done, 10));
    }
    throw new Error(told.stderr);
  };
  const patient = start(args, { env: { KEY: 'hush' } });
  const hasty = start(args, { env: { KEY: 'hush' } });
  const ask = (url: string, key: string, tokens: number) =>
    fetch(`${url}/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: 'tiny', prompt: 'the', max_tokens: tokens, ignore_eos: true }),
    });
  const [first, second] = [await listening(patient), await listening(hasty)];
  expect((await ask(first, 'wrong', 1)).status).toBe(401);
  expect((await ask(first, 'hush', 3)).status).toBe(200);
  patient.child.kill('SIGTERM');
  const stopped = await patient.ended;
  expect(stopped).toMatchObject({ code: 0, stdout: 'Answered 1 requests.\n' });
  expect(stopped.stderr).toMatch(/POST \/v1\/completions 401 .*\nPOST \/v1\/completions 200 /);
  expect(stopped.stderr).not.toContain('hush');
  const cut = ask(second, 'hush', 4000).catch((error: Error) => error);
  await new Promise((done) => setTimeout(done, 200));
  hasty.child.kill('SIGINT');
  while (!hasty.told.stderr.includes('Stopping')) await new Promise((done) => setTimeout(done, 10));
  hasty.child.kill('SIGINT');
  expect(await hasty.ended).toMatchObject({ signal: 'SIGINT', stdout: '' });
  expect(await cut).toBeInstanceOf(Error);
});

test('serve without a key that others can reach says so', async () => {
  const open = start(['serve', '--model', tiny.path, '--port', '0', '--host', '0.0.0.0']);
  while (!/Serving/.test(open.told.stderr) && open.child.exitCode === null) await new Promise((done) => setTimeout(done, 10));
  open.child.kill('SIGTERM');
  expect(await open.ended).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^WARNING: everyone who can reach 0\.0\.0\.0/),
  });
  const unset = await start(['serve', '--model', tiny.path, '--api-key-env', 'NO_SUCH_KEY']).ended;
  expect(unset).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('NO_SUCH_KEY is not set') });
});
