import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../../random.js';
import type { DecodingSession } from '../decoding-session.js';
import { type Intervention, POSITIONS, shapeOf } from '../intervention.js';
import { LanguageModel } from '../language-model.js';
import { NextToken } from './next-token.js';
import { GenerationOptions } from './options.js';
import { Prefill, type ReadPrompt } from './prefill.js';
import { Sequence, type SequenceTools } from './sequence.js';

/** @file However prompts are cut into parts, what is found of them is the same. */

const random = new Random(5);
const direction = Float32Array.from({ length: 32 }, () => random.normal());
const push = (positions: Intervention['positions']): Intervention[] => [
  { site: 'blocks.0.hook_resid_post', change: { mode: 'add', direction }, positions, sinkThreshold: Number.POSITIVE_INFINITY },
];

let cache: string;
let model: LanguageModel;
let session: DecodingSession;
beforeAll(async () => {
  cache = await mkdtemp(join(tmpdir(), 'prefill-'));
  process.env.MORALSCOPE_CACHE = cache;
  model = await LanguageModel.open(fileURLToPath(new URL('../../../fixtures/tiny-llama', import.meta.url)), { threads: 1 });
  session = await model.decoding({ sites: [], logits: 'last', interventions: push('all').map(shapeOf) });
});
afterAll(async () => {
  await session.close();
  await model.close();
  await rm(cache, { recursive: true });
});

const alike = Int32Array.from({ length: 17 }, () => 2 + random.below(38));
const own = (length: number) => Array.from({ length }, () => 2 + random.below(38));
const groups: Record<string, Int32Array[]> = {
  'that begin alike': [9, 1, 30, 4].map((length) => Int32Array.from([...alike, ...own(length)])),
  'that are the same': [alike, alike, alike],
  'of which one begins the others': [alike, Int32Array.from([...alike, ...own(20)]), alike.slice(0, 6)],
  'that have nothing in common': [3, 40, 1, 11].map((length, i) => Int32Array.from([10 + i, ...own(length)])),
  'one alone': [Int32Array.from(own(50))],
};

function tools(): SequenceTools {
  const { vocabulary, context } = session.compiled;
  const boundaries = { begin: undefined, ends: [] };
  return { tokenizer: model.tokenizer, nextToken: new NextToken(vocabulary), boundaries, context, vocabulary };
}

/** What is found of each prompt: log-probabilities of its tokens and its first new one, and what it then goes on from. */
async function read(
  prompts: readonly Int32Array[],
  tokens: number,
  { all = true, arm, strengths }: { all?: boolean; arm?: Intervention[]; strengths?: readonly number[] } = {},
) {
  const options = GenerationOptions.parse({ maxTokens: 5, logProbs: 2, ...(all && { promptLogProbs: 1 }) });
  const sequences = prompts.map(
    (prompt, id) =>
      new Sequence(
        { id, stream: id, options: { ...options, ...(arm && { arm: 'arm', strength: strengths?.[id] ?? 1 }) } },
        prompt,
        tools(),
      ),
  );
  const prefill = new Prefill(session, sequences, arm);
  const ready: ReadPrompt[] = [];
  let runs = 0;
  for (; prefill.sequences.length > 0; runs++) ready.push(...(await prefill.next(tokens)));
  const found: number[][] = [];
  for (const { sequence, cache: where, text } of ready) {
    expect(where.lengths[text]).toBe(sequence.prompt.length);
    const first = sequence.unread;
    sequence.finish('length');
    const [{ logProbs, end, tokenIds }] = sequence.news();
    expect(tokenIds).toEqual([first]);
    found[sequence.id] = [first, ...logProbs!.topLogProbs, ...(end!.promptLogProbs?.chosen.slice(1) ?? [])];
  }
  expect(found).toHaveLength(prompts.length);
  return { found, runs };
}

function expectSame(found: readonly number[][], expected: readonly number[][]): void {
  for (const [i, numbers] of expected.entries()) {
    expect(found[i]).toHaveLength(numbers.length);
    for (const [j, number] of numbers.entries()) expect(found[i][j]).toBeCloseTo(number, 4);
  }
}

describe.each(Object.keys(groups))('prompts %s', (name) => {
  const prompts = groups[name];

  test.each([true, false])('with logits after all tokens: %s', async (all) => {
    const apart: number[][] = [];
    for (const prompt of prompts) apart.push(...(await read([prompt], 1000, { all })).found);
    const sizes = [1000, 40, 7, 1];
    const runs: number[] = [];
    for (const tokens of sizes) {
      const parts = await read(prompts, tokens, { all });
      expectSame(parts.found, apart);
      runs.push(parts.runs);
    }
    expect(runs[0]).toBe(1);
    expect(runs.at(-1)).toBeGreaterThan(10);
  });

  test.each(POSITIONS)('changed at positions %s', async (positions) => {
    const arm = push(positions);
    const strengths = prompts.map((_, i) => i - 1);
    for (const given of [undefined, strengths]) {
      const options = given ? { arm, strengths: given } : { arm };
      const whole = await read(prompts, 1000, options);
      for (const tokens of [40, 7, 2]) expectSame((await read(prompts, tokens, options)).found, whole.found);
    }
  });
});

test('what prompts begin with is read but once', async () => {
  const [shared, apart] = [groups['that begin alike'], groups['that have nothing in common']];
  const tokens = (prompts: readonly Int32Array[]) => prompts.reduce((sum, { length }) => sum + length, 0);
  expect((await read(shared, 4)).runs).toBeLessThan(tokens(shared) / 4);
  expect((await read(apart, 4)).runs).toBeGreaterThanOrEqual(tokens(apart) / 4);
});

test('a text that ends while others are read leaves them as they are', async () => {
  const prompts = groups['that have nothing in common'];
  const whole = await read(prompts, 1000);
  for (const gone of [0, 1]) {
    const options = GenerationOptions.parse({ maxTokens: 5 });
    const sequences = prompts.map((prompt, id) => new Sequence({ id, stream: id, options }, prompt, tools()));
    const prefill = new Prefill(session, sequences, undefined);
    const ready = await prefill.next(3);
    prefill.keep(({ id }) => id !== gone);
    while (prefill.sequences.length > 0) ready.push(...(await prefill.next(5)));
    for (const { sequence } of ready) expect(sequence.unread).toBe(whole.found[sequence.id][0]);
    expect(ready.map(({ sequence }) => sequence.id).sort()).toEqual([0, 1, 2, 3].filter((id) => id !== gone));
  }
});
