import OpenAI, { APIError, APIUserAbortError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realWeights } from '../checkpoint/real-weights.test.support.js';
import { type Served, serve } from './served.test.support.js';

/** @file The official client against the server, on real weights. */

const weights = await realWeights('smollm2-135m');
const MODEL = 'smollm2-135m';
const APPLES = [{ role: 'user' as const, content: 'Name a fruit.' }];

describe.skipIf(!weights)('the openai client, on SmolLM2', () => {
  let served: Served;
  let client: OpenAI;
  beforeAll(async () => {
    served = await serve(MODEL, { apiKey: 'a key', queue: 500 });
    client = new OpenAI({ baseURL: served.url, apiKey: 'a key', maxRetries: 0 });
  });
  afterAll(() => served.close());

  test('chats, whole and in pieces', async () => {
    const asked = { model: MODEL, messages: APPLES, max_tokens: 8, temperature: 0 };
    const whole = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
    const { content } = whole.choices[0].message;
    expect(whole.usage).toMatchObject({ completion_tokens: 8 });
    const tokens = whole.choices[0].logprobs!.content!;
    expect(tokens.map(({ token }) => token).join('')).toBe(content);
    for (const { token, logprob, top_logprobs: top } of tokens) {
      expect(top).toHaveLength(2);
      // The likeliest token was taken.
      expect(top[0]).toMatchObject({ token, logprob });
      expect(top[1].logprob).toBeLessThan(logprob);
    }
    const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
    let text = '';
    let usage: unknown;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage ?? usage;
    }
    expect({ text, usage }).toEqual({ text: content, usage: whole.usage });
    const helped = client.chat.completions.stream(asked);
    expect((await helped.finalChatCompletion()).choices[0].message.content).toBe(content);
  });

  test('completes, with what the prompt is worth', async () => {
    const { choices } = await client.completions.create({
      ...{ model: MODEL, prompt: 'The capital of France is', max_tokens: 1, temperature: 0 },
      ...{ echo: true, logprobs: 1 },
    });
    expect(choices[0].text).toBe('The capital of France is Paris');
    expect(choices[0].logprobs!.tokens).toEqual(['The', ' capital', ' of', ' France', ' is', ' Paris']);
  });

  test('lists models', async () => {
    const ids: string[] = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual([MODEL]);
    expect((await client.models.retrieve(MODEL)).owned_by).toBe('moralscope');
  });

  test('meets the errors that it knows', async () => {
    const refused = async (work: Promise<unknown>) => {
      const error = await work.then(
        () => undefined,
        (thrown) => thrown,
      );
      expect(error).toBeInstanceOf(APIError);
      const { status, code, param } = error as APIError;
      return { status, code, param, class: (error as APIError).constructor.name };
    };
    expect(await refused(client.chat.completions.create({ model: 'gpt-4', messages: APPLES }))).toEqual({
      ...{ status: 404, code: 'model_not_found', param: 'model', class: 'NotFoundError' },
    });
    const hot = client.chat.completions.create({ model: MODEL, messages: APPLES, temperature: 7 });
    expect(await refused(hot)).toEqual({ status: 400, code: 'invalid_value', param: 'temperature', class: 'BadRequestError' });
    const stranger = new OpenAI({ baseURL: served.url, apiKey: 'another', maxRetries: 0 });
    expect(await refused(stranger.models.list().then(() => {}))).toMatchObject({ status: 401, class: 'AuthenticationError' });
  });

  test('lets go of a stream', async () => {
    const stream = await client.chat.completions.create({ model: MODEL, messages: APPLES, stream: true, max_tokens: 2000 });
    for await (const _ of stream) break;
    const gone = new AbortController();
    const whole = client.chat.completions.create({ model: MODEL, messages: APPLES, max_tokens: 2000 }, { signal: gone.signal });
    setTimeout(() => gone.abort(), 100);
    await expect(whole).rejects.toThrow(APIUserAbortError);
    for (let i = 0; i < 500 && served.server.service.load > 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(served.server.service.load).toBe(0);
  });

  test('loses none of 200 requests, half of them streams', async () => {
    const asked = (i: number) => ({ model: MODEL, prompt: `${i} and`, max_tokens: 2 + (i % 3), temperature: 0 });
    const before = served.server.service.requests;
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        if (i % 2 === 0) {
          const { choices, usage } = await client.completions.create(asked(i));
          return { text: choices[0].text, reason: choices[0].finish_reason, tokens: usage!.completion_tokens };
        }
        const answer = { text: '', reason: '' as string | null, tokens: 0 };
        const stream = await client.completions.create({ ...asked(i), stream: true, stream_options: { include_usage: true } });
        for await (const { choices, usage } of stream) {
          answer.text += choices[0]?.text ?? '';
          answer.reason = choices[0]?.finish_reason ?? answer.reason;
          answer.tokens = usage?.completion_tokens ?? answer.tokens;
        }
        return answer;
      }),
    );
    expect(served.server.service.requests - before).toBe(200);
    expect(served.server.service.load).toBe(0);
    for (const [i, { reason, tokens, text }] of answers.entries()) {
      expect(['length', 'stop']).toContain(reason);
      if (reason === 'length') expect({ i, tokens, empty: text === '' }).toEqual({ i, tokens: 2 + (i % 3), empty: false });
    }
    // Each got its own: alone, it is the same.
    for (const i of [3, 120]) {
      const { choices } = await client.completions.create(asked(i));
      expect(choices[0].text).toBe(answers[i].text);
    }
  }, 300_000);
});
