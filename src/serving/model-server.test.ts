import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Served, serve, tinyModel } from './served.test.support.js';

/** @file The server as any HTTP client meets it, on two layers of nonsense with a context of 4,096 tokens. */

let tiny: Awaited<ReturnType<typeof tinyModel>>;
let served: Served;
let id: string;
const log: string[] = [];

beforeAll(async () => {
  tiny = await tinyModel();
  served = await serve(tiny.path, { onRequest: (line) => log.push(line), maxBody: 100_000, batch: 4, queue: 8 });
  id = served.model.name;
});
afterAll(async () => {
  await served.close();
  await tiny.remove();
});

interface Asked {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: whatever JSON comes
  json: any;
}

async function ask(path: string, body?: unknown, headers: Record<string, string> = {}, url = served.url): Promise<Asked> {
  const init = body === undefined ? {} : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) };
  const response = await fetch(`${url}/${path}`, { ...init, headers });
  return { status: response.status, headers: response.headers, json: await response.json() };
}

/** The values of a stream's events. */
async function events(response: Response): Promise<unknown[]> {
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  const lines = (await response.text()).split('\n\n').filter((line) => line !== '');
  return lines.map((line) => (line === 'data: [DONE]' ? 'done' : JSON.parse(line.replace(/^data: /, ''))));
}

const complete = (fields: object) => ask('completions', { model: id, ...fields });
const long = { prompt: 'the', max_tokens: 4000, ignore_eos: true, temperature: 1, seed: 1 };
const post = (fields: object, signal?: AbortSignal, url = served.url) =>
  fetch(`${url}/completions`, { method: 'POST', body: JSON.stringify({ model: id, ...fields }), ...(signal && { signal }) });

/** Waits until so many texts are under way or waiting. */
async function load(texts: number, of = served): Promise<void> {
  for (let i = 0; i < 500 && of.server.service.load !== texts; i++) await sleep(10);
  expect(of.server.service.load).toBe(texts);
}

describe('completions', () => {
  test("log-probabilities of an echoed prompt are those of the model's own logits, first token none", async () => {
    const prompts = ['the tin hat', 'an e'];
    const { status, json } = await complete({ prompt: prompts, max_tokens: 0, echo: true, logprobs: 3 });
    expect(status).toBe(200);
    const session = await served.model.model.session({ sites: [], logits: 'all' });
    const { tokenizer } = served.model.model;
    for (const [i, prompt] of prompts.entries()) {
      const ids = tokenizer.encode(prompt);
      const { logits } = await session.run({ ids, lengths: Int32Array.of(ids.length), batch: 1, length: ids.length });
      const vocabulary = logits!.length / ids.length;
      const { text, logprobs, finish_reason } = json.choices[i];
      expect({ text, finish_reason }).toEqual({ text: prompt, finish_reason: 'length' });
      expect(logprobs.tokens).toEqual([...ids].map((one) => tokenizer.decode([one])));
      expect(logprobs.text_offset).toEqual(
        logprobs.tokens.map((_: string, at: number) => logprobs.tokens.slice(0, at).join('').length),
      );
      expect([logprobs.token_logprobs[0], logprobs.top_logprobs[0]]).toEqual([null, null]);
      for (let at = 1; at < ids.length; at++) {
        const row = logits!.subarray((at - 1) * vocabulary, at * vocabulary);
        const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
        expect(logprobs.token_logprobs[at]).toBeCloseTo(row[ids[at]] - total, 5);
        const best = Math.max(...Object.values(logprobs.top_logprobs[at] as Record<string, number>));
        expect(best).toBeCloseTo(Math.max(...row) - total, 5);
      }
    }
    await session.close();
    const usage = prompts.reduce((sum, prompt) => sum + tokenizer.encode(prompt).length, 0);
    expect(json.usage).toEqual({ prompt_tokens: usage, completion_tokens: 0, total_tokens: usage });
  });

  test('token ids are a prompt like their text; the last token has log-probabilities too', async () => {
    const text = await complete({ prompt: 'the tin', max_tokens: 3, echo: true, logprobs: 1, temperature: 0, ignore_eos: true });
    const ids = [...served.model.model.tokenizer.encode('the tin')];
    const same = await complete({ prompt: [ids], max_tokens: 3, echo: true, logprobs: 1, temperature: 0, ignore_eos: true });
    expect(same.json.choices).toEqual(text.json.choices);
    expect(text.json.choices[0].logprobs.tokens).toHaveLength(ids.length + 3);
    const greedy = text.json.choices[0].logprobs;
    for (let i = ids.length; i < ids.length + 3; i++)
      expect(greedy.token_logprobs[i]).toBe(Math.max(...Object.values(greedy.top_logprobs[i] as Record<string, number>)));
  });

  test('in pieces it is the same as whole, with logprobs, usage and an echo as well', async () => {
    const fields = { prompt: ['the', 'an'], n: 2, max_tokens: 20, seed: 5, logprobs: 2, ignore_eos: true };
    for (const echo of [false, true]) {
      const whole = await complete({ ...fields, echo });
      const pieces = await events(await post({ ...fields, echo, stream: true, stream_options: { include_usage: true } }));
      expect(pieces.at(-1)).toBe('done');
      const chunks = pieces.slice(0, -1) as Asked['json'][];
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.json.usage });
      expect(whole.json.choices).toHaveLength(4);
      for (const choice of whole.json.choices) {
        const own = chunks.flatMap(({ choices }) => choices).filter(({ index }) => index === choice.index);
        expect(own.map(({ text }) => text).join('')).toBe(choice.text);
        expect(own.flatMap(({ logprobs }) => logprobs?.tokens ?? [])).toEqual(choice.logprobs.tokens);
        expect(own.flatMap(({ logprobs }) => logprobs?.token_logprobs ?? [])).toEqual(choice.logprobs.token_logprobs);
        expect(own.map(({ finish_reason }) => finish_reason).filter(Boolean)).toEqual([choice.finish_reason]);
      }
      expect(whole.json.choices[0].text).not.toBe(whole.json.choices[1].text);
    }
  });

  test('a share of none of the tokens is the likeliest one, whatever else is said', async () => {
    const fields = { prompt: 'the', max_tokens: 12, ignore_eos: true };
    const greedy = await complete({ ...fields, temperature: 0 });
    expect((await complete({ ...fields, top_p: 0, top_k: 40, seed: 3 })).json.choices).toEqual(greedy.json.choices);
  });

  test('a stop string ends the text before it', async () => {
    const { json } = await complete({ ...long, max_tokens: 200 });
    const [{ text }] = json.choices;
    const stop = text.slice(20, 24);
    const stopped = await complete({ ...long, max_tokens: 200, stop: [stop, ''] });
    expect(stopped.json.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' });
  });
});

describe('chat', () => {
  const messages = [
    { role: 'developer', content: 'be on time' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'is it' },
        { type: 'text', text: 'a hat' },
      ],
    },
  ];

  test('goes on behind the template; in pieces it is the same', async () => {
    const asked = {
      model: id,
      messages,
      max_completion_tokens: 12,
      temperature: 0,
      logprobs: true,
      top_logprobs: 1,
      ignore_eos: true,
    };
    const { status, json } = await ask('chat/completions', asked);
    expect(status).toBe(200);
    expect(json).toMatchObject({ object: 'chat.completion', model: id, choices: [{ finish_reason: 'length' }] });
    const prompt = 'system, be on time. user, is it\na hat. assistant,';
    const plain = await complete({ prompt, max_tokens: 12, temperature: 0, logprobs: 1, ignore_eos: true });
    const [{ message, logprobs }] = json.choices;
    expect(message).toEqual({ role: 'assistant', content: plain.json.choices[0].text, refusal: null });
    const tokens = plain.json.choices[0].logprobs;
    expect(logprobs.content.map(({ token }: { token: string }) => token)).toEqual(tokens.tokens);
    expect(logprobs.content.map(({ logprob }: { logprob: number }) => logprob)).toEqual(tokens.token_logprobs);
    expect(logprobs.content[0].top_logprobs[0]).toEqual({
      token: tokens.tokens[0],
      logprob: tokens.token_logprobs[0],
      bytes: [...Buffer.from(tokens.tokens[0])],
    });
    const stream = await fetch(`${served.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ ...asked, stream: true }),
    });
    const chunks = (await events(stream)).slice(0, -1) as Asked['json'][];
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '', refusal: null });
    expect(chunks.map(({ choices }) => choices[0].delta.content ?? '').join('')).toBe(message.content);
    expect(chunks.at(-1).choices[0]).toMatchObject({ delta: {}, finish_reason: 'length' });
    expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
  });
});

describe('models', () => {
  test('are listed, and found by id', async () => {
    const { json } = await ask('models');
    expect(json).toMatchObject({ object: 'list', data: [{ id, object: 'model' }] });
    expect((await ask(`models/${encodeURIComponent(id)}`)).json).toEqual(json.data[0]);
    expect(await ask('models/other')).toMatchObject({
      status: 404,
      json: { error: { code: 'model_not_found', param: 'model' } },
    });
  });

  test('health', async () => {
    const response = await fetch(`${served.server.url}/health`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok', model: id }]);
  });
});

describe('the tokenizer', () => {
  const outside = (path: string, body?: object) => ask(`../${path}`, body);

  test('encodes, decodes, and says its special tokens', async () => {
    const { tokenizer } = served.model.model;
    const { json } = await outside('tokenize', { prompt: 'the tin', add_special_tokens: false });
    expect(json).toEqual({ tokens: [...tokenizer.encode('the tin')], count: 4, max_model_len: 4096 });
    expect((await outside('detokenize', { tokens: json.tokens })).json).toEqual({ prompt: 'the tin' });
    expect((await outside('tokenizer_info')).json).toMatchObject({
      bos_token: '<s>',
      eos_token: '</s>',
      chat_template: expect.stringContaining('messages'),
    });
    expect(await outside('detokenize', { tokens: [40] })).toMatchObject({ status: 400, json: { error: { param: 'tokens' } } });
    expect(await outside('tokenize', { prompt: 3 })).toMatchObject({ status: 400, json: { error: { param: 'prompt' } } });
  });
});

describe('refusals are told as OpenAI tells them', () => {
  const user = [{ role: 'user', content: 'a hat' }];
  const chat = (fields: object) => ['chat/completions', { messages: user, ...fields }] as const;
  const text = (fields: object) => ['completions', { prompt: 'a hat', ...fields }] as const;
  test.each([
    ['a body that is not JSON', ...(['completions', '{"model": '] as const), 400, null, 'invalid_json'],
    ['no body', ...(['completions', ''] as const), 400, null, 'invalid_json'],
    ['a list for a body', ...(['completions', '[]'] as const), 400, null, 'invalid_value'],
    ['no model', ...(['completions', '{"prompt": "a"}'] as const), 400, 'model', 'invalid_value'],
    ['no prompt', ...text({ prompt: undefined }), 400, 'prompt', 'invalid_value'],
    ['an empty prompt', ...text({ prompt: [] }), 400, 'prompt', 'invalid_value'],
    ['a mixed prompt', ...text({ prompt: ['a', 3] }), 400, 'prompt', 'invalid_value'],
    ['a token id beyond the vocabulary', ...text({ prompt: [5, 72] }), 400, 'prompt', 'invalid_value'],
    ['a temperature of words', ...text({ temperature: 'hot' }), 400, 'temperature', 'invalid_value'],
    ['a temperature out of range', ...chat({ temperature: 3 }), 400, 'temperature', 'invalid_value'],
    ['no messages', ...chat({ messages: [] }), 400, 'messages', 'invalid_value'],
    ['a number for content', ...chat({ messages: [{ role: 'user', content: 5 }] }), 400, 'messages[0].content', 'invalid_value'],
    ['a role nobody has', ...chat({ messages: [{ role: 'boss', content: 'a' }] }), 400, 'messages[0].role', 'invalid_value'],
    [
      'an image',
      ...chat({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }] }),
      400,
      'messages[0].content',
      'invalid_value',
    ],
    ['top_logprobs alone', ...chat({ top_logprobs: 2 }), 400, 'top_logprobs', 'invalid_value'],
    ['tools', ...chat({ tools: [{ type: 'function', function: { name: 'f' } }] }), 400, 'tools', 'unsupported_parameter'],
    ['a JSON answer', ...chat({ response_format: { type: 'json_object' } }), 400, 'response_format', 'unsupported_parameter'],
    ['a penalty that is not there', ...text({ presence_penalty: 1 }), 400, 'presence_penalty', 'unsupported_parameter'],
    ['best_of', ...text({ best_of: 3 }), 400, 'best_of', 'unsupported_parameter'],
    ['a model nobody knows', ...text({ model: 'gpt-4' }), 404, 'model', 'model_not_found'],
    ['an arm without a remedy', ...text({ model: 'tiny+remedy@0.5' }), 404, 'model', 'model_not_found'],
    ['a prompt longer than the context', ...text({ prompt: 'a '.repeat(4100) }), 400, 'prompt', 'context_length_exceeded'],
    [
      'a conversation longer than it',
      ...chat({ messages: [{ role: 'user', content: 'b'.repeat(5000) }] }),
      400,
      'messages',
      'context_length_exceeded',
    ],
    ['more texts than there is room for', ...text({ n: 13 }), 400, null, 'too_many_texts'],
  ])('%s', async (_, path, body, status, param, code) => {
    const asked = await ask(path, typeof body === 'string' ? body : { model: id, ...body });
    expect(asked).toMatchObject({ status, json: { error: { type: 'invalid_request_error', param, code } } });
    expect(asked.json.error.message).toMatch(/\S.*\.$/);
    expect(Object.keys(asked.json.error)).toEqual(['message', 'type', 'param', 'code']);
  });

  test('what is harmless is let through, as null is', async () => {
    const harmless = { tools: [], tool_choice: 'none', logit_bias: {}, frequency_penalty: 0, response_format: { type: 'text' } };
    const open = { n: null, stop: null, seed: null, stream: null, temperature: null, top_p: null, max_tokens: 2 };
    const { status } = await ask('chat/completions', {
      model: id,
      messages: user,
      ...harmless,
      ...open,
      store: true,
      user: 'me',
    });
    expect(status).toBe(200);
  });

  test.each([
    ['a text that no tokens make short enough', ...text({ prompt: 'a'.repeat(95_000) }), 'context_length_exceeded'],
    ['too many texts', ...text({ prompt: Array(7).fill('a'), n: 2 }), 'too_many_texts'],
    [
      'a message that no tokens make short enough',
      ...chat({ messages: [{ role: 'user', content: 'a'.repeat(95_000) }] }),
      'context_length_exceeded',
    ],
    ['too many answers', ...chat({ n: 13 }), 'too_many_texts'],
  ])('%s: before it is encoded', async (_, path, fields, code) => {
    const encoders = [vi.spyOn(served.model, 'encodeText'), vi.spyOn(served.model, 'encodeChat')];
    try {
      expect(await ask(path, { model: id, ...(fields as object) })).toMatchObject({ status: 400, json: { error: { code } } });
      for (const encode of encoders) expect(encode).not.toHaveBeenCalled();
    } finally {
      for (const encode of encoders) encode.mockRestore();
    }
  });

  test('a body that comes in pieces, its length unsaid, is a body like any other', async () => {
    const { json } = await complete({ prompt: 'the tin', max_tokens: 2, seed: 1 });
    const body = new TextEncoder().encode(JSON.stringify({ model: id, prompt: 'the tin', max_tokens: 2, seed: 1 }));
    const pieces = new ReadableStream({
      start(stream) {
        for (const from of [0, 10, 20]) stream.enqueue(body.subarray(from, from === 20 ? undefined : from + 10));
        stream.close();
      },
    });
    const response = await fetch(`${served.url}/completions`, { method: 'POST', body: pieces, duplex: 'half' } as RequestInit);
    expect(response.status).toBe(200);
    expect(((await response.json()) as Asked['json']).choices).toEqual(json.choices);
  });

  test.each([
    ['length said', {}],
    ['no length said', { 'transfer-encoding': 'chunked' }],
  ])('413 for a body over the cap, %s', async (_, headers) => {
    const body = Buffer.alloc(3_000_000, ' ');
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const length = 'transfer-encoding' in headers ? {} : { 'content-length': body.length };
      const asked = request(`${served.url}/completions`, { method: 'POST', headers: { ...headers, ...length } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      asked.on('error', reject);
      asked.end(body);
    });
    expect(status).toBe(413);
  });

  test('404 for another path, 405 for another method', async () => {
    expect(await ask('embeddings', {})).toMatchObject({ status: 404, json: { error: { code: 'unknown_url' } } });
    expect(await ask('completions')).toMatchObject({ status: 405, json: { error: { code: 'method_not_allowed' } } });
  });
});

describe('many at once', () => {
  test('a full queue is 429 with a time to wait; those who leave make room', async () => {
    const gone = new AbortController();
    const crowd = Array.from({ length: 12 }, () => post({ ...long, stream: true }, gone.signal));
    await Promise.all(crowd);
    await load(12);
    const refused = await complete({ prompt: 'a', max_tokens: 1 });
    expect(refused).toMatchObject({ status: 429, json: { error: { type: 'rate_limit_error', code: 'queue_full' } } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    gone.abort();
    await load(0);
    expect((await complete({ prompt: 'a', max_tokens: 1 })).status).toBe(200);
  });

  test.each([true, false])('a client that goes away takes its text with it; streaming: %s', async (stream) => {
    const gone = new AbortController();
    const asked = post({ ...long, n: 2, stream }, gone.signal);
    if (stream) await (await asked).body!.getReader().read();
    await load(2);
    gone.abort();
    if (!stream) await expect(asked).rejects.toThrow();
    await load(0);
  });
});

describe('stopping', () => {
  test('what runs comes to its end, what is new is refused', async () => {
    const own = await serve(tiny.path);
    const whole = post({ ...long, max_tokens: 600 }, undefined, own.url);
    await load(1, own);
    const stopped = own.close();
    const late = await ask('completions', { model: id, prompt: 'a' }, {}, own.url);
    expect(late).toMatchObject({ status: 503, json: { error: { type: 'server_error', code: 'stopping' } } });
    const response = await whole;
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ usage: { completion_tokens: 600 } });
    await stopped;
    await expect(post({ prompt: 'a' }, undefined, own.url)).rejects.toThrow();
  });

  test('what takes too long is ended, and told so', async () => {
    const own = await serve(tiny.path, { patience: 20 });
    const [whole, pieces] = [post(long, undefined, own.url), post({ ...long, stream: true }, undefined, own.url)];
    await load(2, own);
    const stopped = own.close();
    expect((await whole).status).toBe(503);
    const told = (await events(await pieces)).at(-1);
    expect(told).toMatchObject({ error: { type: 'server_error', code: 'stopping' } });
    await stopped;
  });
});
