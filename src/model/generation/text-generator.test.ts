import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../random.js';
import type { DecoderSession } from '../decoder-session.js';
import type { Intervention, Positions } from '../intervention.js';
import { LanguageModel } from '../language-model.js';
import type { Arms } from './arms.js';
import type { GenerateOptions, TextGenerator } from './text-generator.js';

/** @file A random Llama, whose texts are found again by running every one of them anew for every token. */

const CONTEXT = 64;
const SITE = 'blocks.0.hook_resid_post';

let cache: string;
let model: LanguageModel;
let whole: DecoderSession;
let generator: TextGenerator;

beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'generation-'));
  process.env.MORALSCOPE_CACHE = cache;
  model = await LanguageModel.open(fileURLToPath(new URL('../../../fixtures/tiny-llama', import.meta.url)), { threads: 1 });
  whole = await model.session({ sites: [], logits: 'all' });
  // Fewer at once than there are texts, so that some wait until others have left.
  generator = await model.generator({ sequences: 3, arms });
});
afterAll(async () => {
  await generator.close();
  await whole.close();
  await model.close();
  await rm(cache, { recursive: true });
});

const random = new Random(11);
const direction = Float32Array.from({ length: 32 }, () => random.normal());
const pushed = (positions: Positions, sinkThreshold = Number.POSITIVE_INFINITY): Intervention[] => [
  { site: SITE, change: { mode: 'add', direction }, positions, sinkThreshold },
];
const arms: Arms = { all: pushed('all'), prompt: pushed('prompt'), generated: pushed('generated'), last: pushed('last') };

/** Prompts that begin alike, and not; of 1 to 40 tokens. */
const beginning = Array.from({ length: 20 }, () => 2 + random.below(38));
const prompts = [7, 1, 12, 3, 20, 40, 5].map((length, i) =>
  Int32Array.from({ length }, (_, at) => (i % 2 === 0 && at < 20 ? beginning[at] : 2 + random.below(38))),
);
const endless = { ignoreEos: true, maxTokens: 16 };

/** Log-probabilities after each token of a text, [tokens, vocabulary]. */
async function logProbs(ids: Int32Array): Promise<number[][]> {
  const { logits, place } = await whole.run({ ids, lengths: Int32Array.of(ids.length), batch: 1, length: ids.length });
  const vocabulary = model.spec.vocabulary;
  return Array.from(place, (row) => {
    const scores = [...logits!.subarray(row * vocabulary, (row + 1) * vocabulary)];
    const total = Math.log(scores.reduce((sum, x) => sum + Math.exp(x), 0));
    return scores.map((x) => x - total);
  });
}

const likeliest = (scores: readonly number[]) => scores.indexOf(Math.max(...scores));

async function greedy(prompt: Int32Array, tokens: number): Promise<number[]> {
  const ids = [...prompt];
  for (let i = 0; i < tokens; i++) ids.push(likeliest((await logProbs(Int32Array.from(ids))).at(-1)!));
  return ids.slice(prompt.length);
}

describe('texts that are gone on with together', () => {
  test('are those that the model finds likeliest, token by token', async () => {
    const found = await generator.generate(prompts, endless);
    for (const [i, { tokenIds, finishReason, promptIds, text }] of found.entries()) {
      expect([...tokenIds]).toEqual(await greedy(prompts[i], 16));
      expect(finishReason).toBe('length');
      expect(promptIds).toEqual(prompts[i]);
      const decode = (ids: ArrayLike<number>) => model.tokenizer.decode(ids, { skipSpecialTokens: true });
      expect(text).toBe(decode([...promptIds, ...tokenIds]).slice(decode(promptIds).length));
    }
  });

  test('join while others go on, and leave when they are done', async () => {
    const first = generator.stream(prompts[0], { ...endless, maxTokens: 40 });
    const others: Promise<unknown>[] = [];
    let pieces = 0;
    for await (const _ of first) {
      const [i, maxTokens] = [pieces % prompts.length, 1 + (pieces % 5)];
      if (pieces++ < 12)
        others.push(
          generator.generate([prompts[i]], { ...endless, maxTokens }).then(async ([{ tokenIds }]) => {
            expect([...tokenIds]).toEqual((await greedy(prompts[i], 5)).slice(0, maxTokens));
          }),
        );
    }
    await Promise.all(others);
    expect([...(await first.result).tokenIds]).toEqual(await greedy(prompts[0], 40));
    expect(others.length).toBe(12);
  });

  test('draw random numbers of their own', async () => {
    const options = { ...endless, temperature: 1.5, seed: 3 };
    const same = Array.from({ length: 4 }, () => prompts[2]);
    const [once, again, other] = [
      await generator.generate(same, options),
      await generator.generate(same, options),
      await generator.generate(same, { ...options, seed: 4 }),
    ].map((found) => found.map(({ tokenIds }) => tokenIds.join()));
    expect(again).toEqual(once);
    expect(new Set([...once, ...other]).size).toBe(8);
    const [alone] = await generator.generate([prompts[2]], options);
    expect(alone.tokenIds.join()).toBe(once[0]);
  });

  test('one has room whatever the memory, and all are done one after the other', async () => {
    const narrow = await model.generator({ cacheMiB: 0.001 });
    const found = await narrow.generate(prompts.slice(0, 3), { ...endless, maxTokens: 4 });
    for (const [i, { tokenIds }] of found.entries()) expect([...tokenIds]).toEqual(await greedy(prompts[i], 4));
    await narrow.close();
  });
});

describe('log-probabilities', () => {
  test('of generated tokens, and the likeliest in their places, are of the raw distribution', async () => {
    const options = { ...endless, temperature: 2, repetitionPenalty: 1.5, topP: 0.9, logProbs: 3 };
    for (const { tokenIds, promptIds, logProbs: found } of await generator.generate(prompts.slice(0, 4), options)) {
      const expected = (await logProbs(Int32Array.from([...promptIds, ...tokenIds]))).slice(promptIds.length - 1, -1);
      expect(found!.chosen).toHaveLength(16);
      for (const [i, row] of expected.entries()) {
        expect(found!.chosen[i]).toBeCloseTo(row[tokenIds[i]], 4);
        const top = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 3);
        expect([...found!.topIds.subarray(3 * i, 3 * i + 3)]).toEqual(top);
        for (const [j, id] of top.entries()) expect(found!.topLogProbs[3 * i + j]).toBeCloseTo(row[id], 4);
      }
    }
  });

  test('of the prompt, with or without new tokens', async () => {
    for (const maxTokens of [0, 2])
      for (const found of await generator.generate(prompts, { ...endless, maxTokens, promptLogProbs: 1 })) {
        const { promptIds, promptLogProbs, tokenIds } = found;
        const expected = await logProbs(promptIds);
        expect(promptLogProbs!.chosen).toHaveLength(promptIds.length);
        expect(promptLogProbs!.chosen[0]).toBeNaN();
        expect(promptLogProbs!.topIds[0]).toBe(-1);
        for (let at = 1; at < promptIds.length; at++) {
          expect(promptLogProbs!.chosen[at]).toBeCloseTo(expected[at - 1][promptIds[at]], 4);
          expect(promptLogProbs!.topIds[at]).toBe(likeliest(expected[at - 1]));
        }
        expect(tokenIds).toHaveLength(maxTokens);
        expect(found).toMatchObject({ finishReason: 'length' });
        expect(found.logProbs).toBeUndefined();
      }
  });
});

describe('a text ends', () => {
  let text: string;
  let ids: number[];
  beforeAll(async () => {
    ids = await greedy(prompts[4], 16);
    [{ text }] = await generator.generate([prompts[4]], endless);
  });

  test('before a stop string, whatever tokens that is of', async () => {
    for (let at = 1; at < text.length - 3; at++) {
      const string = text.slice(at, at + 3);
      const stream = generator.stream(prompts[4], { ...endless, stop: ['no such text', string] });
      let streamed = '';
      for await (const piece of stream) streamed += piece.text;
      const found = await stream.result;
      expect(found).toMatchObject({ text: text.slice(0, text.indexOf(string)), finishReason: 'stop', stoppedBy: string });
      expect(streamed).toBe(found.text);
      expect(ids.slice(0, found.tokenIds.length)).toEqual([...found.tokenIds]);
    }
  });

  test("at a token that is asked for, or the model's own", async () => {
    const [asked] = await generator.generate([prompts[4]], { ...endless, stopTokenIds: [ids[5]] });
    expect(asked).toMatchObject({ finishReason: 'stop', stoppedBy: ids[5] });
    expect([...asked.tokenIds]).toEqual(ids.slice(0, ids.indexOf(ids[5]) + 1));
    expect(text.startsWith(asked.text) && asked.text.length < text.length).toBe(true);
    expect(generator.endTokens).toEqual([1]);
    // At this temperature every token is about as likely as another.
    const found = await generator.generate(Array(12).fill(prompts[0]), { maxTokens: 50, temperature: 100 });
    const stopped = found.filter(({ finishReason }) => finishReason === 'stop');
    expect(stopped.length).toBeGreaterThan(2);
    for (const { tokenIds, stoppedBy } of stopped) {
      expect(stoppedBy).toBe(1);
      expect(tokenIds.indexOf(1)).toBe(tokenIds.length - 1);
    }
  });

  test('where the context does', async () => {
    const long = prompts[5];
    const [{ tokenIds, finishReason }] = await generator.generate([long], { ...endless, maxTokens: 1000 });
    expect(tokenIds).toHaveLength(CONTEXT - long.length + 1);
    expect(finishReason).toBe('length');
    const full = Int32Array.from({ length: CONTEXT }, (_, i) => 2 + (i % 30));
    const [one] = await generator.generate([full], { ...endless, maxTokens: 5 });
    expect([...one.tokenIds]).toEqual(await greedy(full, 1));
  });
});

describe('cancellation', () => {
  test('ends one text and disturbs no other', async () => {
    const stop = new AbortController();
    const others = generator.generate([prompts[0], prompts[3]], { ...endless, maxTokens: 24 });
    const stream = generator.stream(prompts[2], { ...endless, maxTokens: 50, signal: stop.signal });
    let pieces = 0;
    for await (const _ of stream) if (++pieces === 3) stop.abort();
    const cancelled = await stream.result;
    expect(cancelled.finishReason).toBe('cancelled');
    expect(cancelled.tokenIds.length).toBeLessThan(50);
    expect([...cancelled.tokenIds]).toEqual((await greedy(prompts[2], 50)).slice(0, cancelled.tokenIds.length));
    for (const [i, { tokenIds, finishReason }] of (await others).entries()) {
      expect([...tokenIds]).toEqual(await greedy(prompts[[0, 3][i]], 24));
      expect(finishReason).toBe('length');
    }
  });

  test('before the beginning, or by leaving the loop', async () => {
    const [never] = await generator.generate([prompts[0]], { signal: AbortSignal.abort() });
    expect(never).toMatchObject({ finishReason: 'cancelled', text: '', promptIds: prompts[0] });
    expect(never.tokenIds).toHaveLength(0);
    const stream = generator.stream(prompts[0], { ...endless, maxTokens: 57 });
    for await (const _ of stream) break;
    expect((await stream.result).finishReason).toBe('cancelled');
  });

  test('of all, when the generator is closed', async () => {
    const closing = await model.generator();
    const streams = prompts.map((prompt) => closing.stream(prompt, { ...endless, maxTokens: 20 }));
    await closing.close();
    for (const { result } of streams) expect(['cancelled', 'length']).toContain((await result).finishReason);
    await expect(closing.generate(['a'])).rejects.toThrow(/closed/);
    await closing.close();
  });
});

describe('what goes wrong is said', () => {
  const ids = (length: number) => new Int32Array(length).fill(5);
  const cases: [string, Int32Array | string, GenerateOptions, string, RegExp][] = [
    ['a prompt longer than the context', ids(CONTEXT + 1), {}, 'bad-data', /65 tokens; tiny-llama takes at most 64/],
    ['a token that is not there', Int32Array.of(5, 72), {}, 'bad-data', /72.*from 0 to 71/],
    ['a share of nothing', 'a', { topP: 0 }, 'misuse', /topP/],
    ['half a token', 'a', { maxTokens: 0.5 }, 'misuse', /maxTokens/],
    ['a temperature below 0', 'a', { temperature: -1 }, 'misuse', /temperature/],
    ['a temperature that is no number', 'a', { temperature: Number.NaN }, 'misuse', /temperature/],
    ['an empty stop string', 'a', { stop: [''] }, 'misuse', /stop/],
    ['an arm that is not there', 'a', { arm: 'shuffled' }, 'misuse', /no arm shuffled/],
    ['a strength out of range', 'a', { arm: 'all', strength: 17 }, 'misuse', /strength of 17/],
  ];
  test.each(cases)('%s', async (_, prompt, options, code, message) => {
    const error = { name: 'MoralscopeError', code, message: expect.stringMatching(message) };
    await expect(generator.generate(['a', prompt], options)).rejects.toMatchObject(error);
    await expect(
      (async () => {
        for await (const _ of generator.stream(prompt, options));
      })(),
    ).rejects.toMatchObject(error);
    const [{ tokenIds }] = await generator.generate([prompts[0]], { ...endless, maxTokens: 3 });
    expect([...tokenIds]).toEqual(await greedy(prompts[0], 3));
  });

  test('an empty prompt is the token that texts begin with', async () => {
    const [text, none, token] = await generator.generate(['', new Int32Array(), Int32Array.of(0)], endless);
    expect([...text.promptIds]).toEqual([0]);
    expect(text.tokenIds).toEqual(token.tokenIds);
    expect(none.tokenIds).toEqual(token.tokenIds);
  });

  test('logits that are not numbers, of one text and no other', async () => {
    const huge: Intervention[] = [{ ...pushed('all')[0], change: { mode: 'add', direction: new Float32Array(32).fill(3e38) } }];
    const broken = await model.generator({ arms: { huge } });
    const error = { code: 'bad-data', message: expect.stringMatching(/not finite/) };
    const fine = broken.generate([prompts[0]], endless);
    const options = { ...endless, arm: 'huge', strength: 16 };
    await expect(broken.generate([prompts[2]], options)).rejects.toMatchObject(error);
    await expect(broken.generate([prompts[2]], { ...options, maxTokens: 0, promptLogProbs: 0 })).rejects.toMatchObject(error);
    expect([...(await fine)[0].tokenIds]).toEqual(await greedy(prompts[0], 16));
    await broken.close();
  });

  test('opening that is stopped', async () => {
    await expect(model.generator({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' });
    await expect(model.generate(['a'], { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'cancelled' });
  });

  test('arms of different kinds', async () => {
    const other: Intervention[] = [{ ...pushed('all')[0], site: 'blocks.1.hook_resid_post' }];
    await expect(model.generator({ arms: { one: pushed('all'), other } })).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringMatching(/one and other/),
    });
    const refused = expect.objectContaining({ code: 'misuse' });
    expect(() => generator.addArm('other', other)).toThrow(refused);
    const plain = await model.generator();
    expect(() => plain.addArm('one', pushed('all'))).toThrow(refused);
    await plain.close();
    await expect(model.generator({ sequences: 0 })).rejects.toMatchObject({ code: 'misuse' });
  });
});

describe('arms', () => {
  /** The same by hand, a text at a time. */
  async function steered(prompt: Int32Array, interventions: readonly Intervention[], strength: number, tokens: number) {
    const session = await model.decoding({ sites: [], logits: 'last', interventions: [{ ...SHAPE }] });
    const own = session.cache();
    const steering = { interventions, strength };
    const next = (logits: Float32Array) => likeliest([...logits]);
    const batch = { ids: prompt, lengths: Int32Array.of(prompt.length), batch: 1, length: prompt.length };
    const ids = [next((await session.prefill(own, batch, steering)).logits!)];
    while (ids.length < tokens) ids.push(next((await session.step(own, Int32Array.of(ids.at(-1)!), steering)).logits!));
    await session.close();
    return ids;
  }
  const SHAPE = { site: SITE, mode: 'add', thresholds: false, gate: 'linear' } as const;

  test('each text goes on as its own arm and strength have it, whatever runs beside', async () => {
    const wanted = Object.keys(arms).flatMap((arm) => [0.5, 2, -1].map((strength) => ({ arm, strength })));
    const found = await Promise.all([
      generator.generate(prompts.slice(0, 2), endless),
      ...wanted.map((how) => generator.generate(prompts.slice(0, 2), { ...endless, ...how })),
    ]);
    const texts = new Set<string>();
    for (const [i, { arm, strength }] of wanted.entries())
      for (const [j, { tokenIds }] of found[i + 1].entries()) {
        expect([...tokenIds], `${arm} ${strength} ${j}`).toEqual(await steered(prompts[j], arms[arm], strength, 16));
        texts.add(`${j} ${tokenIds.join()}`);
      }
    for (const [j, { tokenIds }] of found[0].entries()) {
      expect([...tokenIds]).toEqual(await greedy(prompts[j], 16));
      texts.add(`${j} ${tokenIds.join()}`);
    }
    expect(texts.size).toBeGreaterThan(12);
  });

  test('a strength of 0 changes nothing, and 1 is the default', async () => {
    const [plain, zero, one, full] = await Promise.all(
      [{}, { arm: 'all', strength: 0 }, { arm: 'all', strength: 1 }, { arm: 'all' }].map((how) =>
        generator.generate([prompts[2]], { ...endless, logProbs: 2, ...how }),
      ),
    );
    expect(zero[0].tokenIds).toEqual(plain[0].tokenIds);
    expect(full[0].tokenIds).toEqual(one[0].tokenIds);
    expect(full[0].logProbs!.chosen[0]).not.toBeCloseTo(plain[0].logProbs!.chosen[0], 3);
  });
});
