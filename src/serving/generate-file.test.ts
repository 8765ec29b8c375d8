import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeMadeRemedy } from '../alignment/remedy.test.support.js';
import { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import { type FileAnswer, generateFile } from './generate-file.js';
import { tinyModel } from './served.test.support.js';

let root: string;
let tiny: Awaited<ReturnType<typeof tinyModel>>;
const file = (name: string) => join(root, name);
const PROMPTS = ['the tin', 'a hat', 'an hen is on', 'th', 'e', 'it is in the', 'no', 'on an a'];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'generate-'));
  tiny = await tinyModel(64);
  await writeFile(file('prompts.txt'), `${PROMPTS.join('\n')}\n`);
  const rows = [
    { id: 'first', prompt: 'the tin' },
    { messages: [{ role: 'user', content: 'a hat' }] },
    { id: 3, prompt: 'a hat' },
  ];
  await writeFile(file('prompts.jsonl'), `\uFEFF${rows.map((row) => JSON.stringify(row)).join('\n\n')}`);
});
afterAll(async () => {
  await tiny.remove();
  await rm(root, { recursive: true, force: true });
});

const asked = (out: string, more: object = {}) => ({
  ...{ model: tiny.path, prompts: file('prompts.txt'), out: file(out), maxTokens: 6, ignoreEos: true, threads: 1 },
  ...{ temperature: 1, seed: 40, ...more },
});
const answers = async (out: string): Promise<FileAnswer[]> =>
  (await readFile(file(out), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as FileAnswer);
const refused = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (thrown) => thrown,
  );
  expect(error).toBeInstanceOf(MoralscopeError);
  return error as MoralscopeError;
};

describe('a file of answers', () => {
  test('has a line a prompt, in order, each as its own seed gives it', async () => {
    const made = await generateFile(asked('whole.jsonl'));
    expect(made).toEqual({ out: file('whole.jsonl'), prompts: 8, added: 8, tokens: 48 });
    const lines = await answers('whole.jsonl');
    const model = await LanguageModel.open(tiny.path);
    for (const [row, line] of lines.entries()) {
      const how = { maxTokens: 6, temperature: 1, seed: 40 + row, ignoreEos: true };
      const [alone] = await model.generate([PROMPTS[row]], how);
      expect(line).toEqual({
        ...{ row, text: alone.text, finish_reason: 'length', prompt_tokens: alone.promptIds.length, tokens: 6 },
        ...{ seed: 40 + row, model: model.name, arm: null, strength: 0 },
      });
      if (row === 1) break;
    }
    await model.close();
    expect(new Set(lines.map(({ text }) => text)).size).toBeGreaterThan(5);
  });

  test('is taken up where it stopped, and left alone where it is whole', async () => {
    const whole = await readFile(file('whole.jsonl'), 'utf8');
    const stop = new AbortController();
    const onProgress = ({ done, task }: { done: number; task: string }) => {
      if (task === 'Generating' && done === 3) stop.abort();
    };
    const stopped = await refused(generateFile({ ...asked('resumed.jsonl', { maxBatch: 1 }), onProgress, signal: stop.signal }));
    expect(stopped.code).toBe('cancelled');
    expect(await readFile(file('resumed.jsonl'), 'utf8')).toBe(whole.split('\n').slice(0, 3).join('\n').concat('\n'));
    // As a killed process leaves it.
    await appendFile(file('resumed.jsonl'), '{"row":3,"te');
    expect(await generateFile(asked('resumed.jsonl'))).toMatchObject({ added: 5 });
    expect(await readFile(file('resumed.jsonl'), 'utf8')).toBe(whole);
    const before = await stat(file('resumed.jsonl'));
    expect(await generateFile(asked('resumed.jsonl'))).toMatchObject({ added: 0, tokens: 0 });
    expect((await stat(file('resumed.jsonl'))).mtimeMs).toBe(before.mtimeMs);
  });

  test('is not gone on with under other options, which are named, nor if it is something else', async () => {
    const other = await refused(generateFile(asked('whole.jsonl', { seed: 41, maxTokens: 7 })));
    expect(other).toMatchObject({ code: 'misuse' });
    expect(other.message).toMatch(/maxTokens 6, now 7; seed 40, now 41\.$/);
    await writeFile(file('mine.jsonl'), '{"row": 0}\n');
    expect((await refused(generateFile(asked('mine.jsonl')))).message).toMatch(/was not begun by generate/);
    expect(await refused(generateFile({ ...asked('mine.jsonl'), out: '' }))).toMatchObject({ code: 'misuse' });
    await generateFile(asked('spoilt.jsonl'));
    const lines = (await readFile(file('spoilt.jsonl'), 'utf8')).split('\n');
    await writeFile(file('spoilt.jsonl'), lines.toSpliced(2, 1).join('\n'));
    expect((await refused(generateFile(asked('spoilt.jsonl')))).message).toMatch(/line 3 is not the answer of row 2/);
  });

  test('keeps ids; conversations go through the template, as plain prompts do if told to', async () => {
    const how = { prompts: file('prompts.jsonl'), temperature: 0 };
    await generateFile(asked('mixed.jsonl', how));
    await generateFile(asked('chat.jsonl', { ...how, chat: true, system: 'be on time' }));
    const [mixed, chat] = [await answers('mixed.jsonl'), await answers('chat.jsonl')];
    expect(mixed.map(({ row, id }) => [row, id])).toEqual([
      [0, 'first'],
      [1, undefined],
      [2, 3],
    ]);
    expect(mixed[1].prompt_tokens).toBeGreaterThan(mixed[2].prompt_tokens);
    expect(chat[1].text).toBe(chat[2].text);
    expect(chat[1].prompt_tokens).toBeGreaterThan(mixed[1].prompt_tokens);
  });

  test('says which arm of a remedy made it', async () => {
    const model = await LanguageModel.open(tiny.path);
    const direction = Float32Array.from({ length: model.spec.hidden }, (_, i) => Math.sin(i));
    const intervention = {
      site: 'blocks.1.hook_resid_post',
      change: { mode: 'add', direction },
      positions: 'all',
      sinkThreshold: 1e9,
    } as const;
    await writeMadeRemedy(file('remedy'), model, [intervention]);
    const steered = await model.generate([PROMPTS[0]], {
      ...{ arms: { remedy: [intervention] }, arm: 'remedy', strength: 2 },
      ...{ maxTokens: 6, ignoreEos: true },
    });
    await model.close();
    const how = { temperature: 0, remedy: file('remedy') };
    await generateFile(asked('steered.jsonl', { ...how, strength: 2 }));
    const [line] = await answers('steered.jsonl');
    expect(line).toMatchObject({ text: steered[0].text, arm: 'remedy', strength: 2 });
    const other = await refused(generateFile(asked('steered.jsonl', { ...how, strength: 1 })));
    expect(other.message).toMatch(/remedy \{.*"strength":2/);
  });
});

describe('what cannot be is told before anything is generated', () => {
  test.each([
    ['a file that is not there', 'none.jsonl', undefined, 'not-found', /none\.jsonl/],
    ['a line that is not JSON', 'a.jsonl', '{"prompt": "a"}\nthe', 'bad-file', /line 2 is not JSON/],
    ['a line without a prompt', 'b.jsonl', '{"text": "a"}', 'bad-file', /line 1 has neither prompt nor messages/],
    ['a line with both', 'c.jsonl', '{"prompt": "a", "messages": [{"role": "user", "content": "a"}]}', 'bad-file', /both/],
    ['a message without content', 'd.jsonl', '{"messages": [{"role": "user"}]}', 'bad-file', /messages: 0: content/],
    ['a file without prompts', 'e.txt', '\n \n', 'bad-data', /holds no prompt/],
    ['a prompt longer than the context', 'f.txt', `a\n${'b'.repeat(70)}`, 'bad-data', /Prompt 1 has 70 tokens; .* at most 64/],
  ])('%s', async (_, name, content, code, message) => {
    if (content !== undefined) await writeFile(file(name), content);
    const error = await refused(generateFile(asked('never.jsonl', { prompts: file(name) })));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    await expect(stat(file('never.jsonl'))).rejects.toThrow('ENOENT');
  });

  test('an arm without a remedy', async () => {
    expect((await refused(generateFile(asked('never.jsonl', { arm: 'shuffled-00' })))).fix).toMatch(/--remedy/);
  });
});
