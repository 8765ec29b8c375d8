import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeMadeRemedy } from '../alignment/remedy.test.support.js';
import type { Intervention } from '../model/intervention.js';
import { LanguageModel } from '../model/language-model.js';
import { chat } from './chat.js';
import { parseChatLine } from './chat-command.js';
import { Conversation } from './conversation.js';
import { tinyModel } from './served.test.support.js';
import { besideEachOther, fitsBeside } from './side-by-side.js';
import { SteeredModel } from './steered-model.js';

let root: string;
let tiny: Awaited<ReturnType<typeof tinyModel>>;
let model: SteeredModel;
let plain: SteeredModel;

const SAMPLING = { maxTokens: 20, temperature: 0, ignoreEos: true, seed: 0 };

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'chat-'));
  tiny = await tinyModel();
  const opened = await LanguageModel.open(tiny.path);
  const change = (phase: number): Intervention[] => [
    {
      site: 'blocks.1.hook_resid_post',
      change: { mode: 'add', direction: Float32Array.from({ length: opened.spec.hidden }, (_, i) => Math.sin(i + phase)) },
      positions: 'all',
      sinkThreshold: 1e9,
    },
  ];
  await writeMadeRemedy(join(root, 'made'), opened, change(0), { 'shuffled-00': change(2) });
  await opened.close();
  model = await SteeredModel.open(tiny.path, { remedies: [join(root, 'made')], strength: 0.5, threads: 1 });
  plain = await SteeredModel.open(tiny.path, { threads: 1 });
});
afterAll(async () => {
  await model.close();
  await plain.close();
  await tiny.remove();
  await rm(root, { recursive: true, force: true });
});

class Screen extends Writable {
  text = '';
  constructor(readonly columns: number | undefined) {
    super();
  }
  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Says these lines through a pipe. */
async function said(conversation: Conversation, lines: readonly string[], columns?: number): Promise<string> {
  const input = new PassThrough();
  const output = new Screen(columns);
  input.end(lines.map((line) => `${line}\n`).join(''));
  await chat(conversation, {
    ...{ input, terminal: false, signal: new AbortController().signal },
    output: output as unknown as NodeJS.WriteStream,
  });
  return output.text;
}

describe('a chat', () => {
  test('goes on from what was said; each line of a pipe is a turn', async () => {
    const conversation = new Conversation(plain, {}, SAMPLING);
    const text = await said(conversation, ['a hat', '', 'the tin']);
    const [first, second] = conversation.turns;
    expect(text).toBe(`${first.answer}\n${second.answer}\n`);
    const prompt = `user, a hat. assistant, ${first.answer}. user, the tin. assistant,`;
    const [stream] = await plain.streams([plain.encodeText(prompt, undefined).ids], undefined, SAMPLING);
    expect(second).toEqual({ question: 'the tin', answer: (await stream.result).text, as: 'unsteered' });
  });

  test('changes arm and strength on the way; /reset and /system begin anew', async () => {
    const conversation = new Conversation(model, {}, SAMPLING);
    const lines = [
      'a hat',
      '/reset',
      '/strength 0',
      'a hat',
      '/reset',
      '/arm none',
      'a hat',
      '/reset',
      '/arm shuffled-00',
      '/strength 1',
    ];
    const text = await said(conversation, [...lines, 'a hat', '/reset', '/system be on time', 'a hat', '/quit', 'a hat']);
    const { turns } = conversation;
    expect(turns.map((turn) => turn.as)).toEqual(['remedy@0.5', 'remedy@0', 'unsteered', 'shuffled-00@1', 'shuffled-00@1']);
    const [remedy, zero, unsteered, shuffled, system] = turns.map(({ answer }) => answer);
    expect(zero).toBe(unsteered);
    expect(new Set([remedy, zero, shuffled, system]).size).toBe(4);
    expect(text).toMatch(/^remedy@0 answers, by add\.$/m);
    expect(text).toMatch(/^unsteered answers\.$/m);
  });

  test('tells what is wrong and goes on', async () => {
    const conversation = new Conversation(model, {}, SAMPLING);
    const text = await said(conversation, [
      '/strength much',
      '/strength 40',
      '/arm random-00+',
      '/mode blend',
      '/mode jump',
      '/jump',
      'a hat',
    ]);
    for (const told of [
      /"much" is no strength/,
      /strength of 40/,
      /no arm random-00\+/,
      /no mode blend/,
      /no mode jump/,
      /no \/jump/,
    ])
      expect(text).toMatch(told);
    expect(conversation.turns).toMatchObject([{ as: 'remedy@0.5' }]);
    const alone = new Conversation(plain, {}, SAMPLING);
    expect(await said(alone, ['/compare', '/strength 1', '/help'])).toMatch(
      /There is no remedy\.[\s\S]*There is no remedy\.[\s\S]*\/strength 0\.4/,
    );
    await expect(alone.ask('b'.repeat(5000), new AbortController().signal)).rejects.toThrow(/takes at most 4096/);
  });

  test('compares with the model as it is, one after the other or side by side', async () => {
    const conversation = new Conversation(model, {}, SAMPLING);
    const narrow = await said(conversation, ['/compare', 'a hat'], 60);
    const [{ answer, unsteered }] = conversation.turns;
    expect(answer).not.toBe(unsteered);
    expect(narrow).toBe(`Both answer.\nremedy@0.5: ${answer}\nunsteered: ${unsteered}\n`);
    conversation.reset();
    const wide = await said(conversation, ['a hat'], 120);
    expect(wide.split('\n')[0]).toMatch(/^remedy@0.5 +│ unsteered$/);
    expect(wide.split('\n')[2]).toBe(besideEachOther(answer.trim(), unsteered!.trim(), 120));
  });

  test('a base model has none, and says what to do instead', async () => {
    const base = await SteeredModel.open(new URL('../../fixtures/tiny-llama', import.meta.url).pathname);
    expect(() => new Conversation(base, {}, SAMPLING)).toThrow(
      expect.objectContaining({ code: 'unsupported', fix: expect.stringMatching(/generate/) }),
    );
    await base.close();
  });
});

describe('Ctrl-C', () => {
  const sit = (conversation: Conversation) => {
    const input = new PassThrough();
    const output = new Screen(80);
    const done = chat(conversation, {
      ...{ input, terminal: true, signal: new AbortController().signal },
      output: output as unknown as NodeJS.WriteStream,
    });
    const until = async (holds: () => boolean) => {
      for (let i = 0; i < 500 && !holds(); i++) await sleep(10);
      expect(holds()).toBe(true);
    };
    return { input, output, done, until };
  };

  test('stops the answer, whose beginning stays; twice it quits', async () => {
    const conversation = new Conversation(plain, {}, { ...SAMPLING, maxTokens: 4000, temperature: 1 });
    const { input, output, done, until } = sit(conversation);
    input.write('a hat\r');
    await until(() => output.text.length > 200);
    input.write('\x03');
    await until(() => conversation.turns.length === 1);
    expect(conversation.turns[0].answer.length).toBeGreaterThan(0);
    input.write('\x03');
    await done;
  });

  test('at the prompt it asks for another', async () => {
    const { input, output, done, until } = sit(new Conversation(plain, {}, SAMPLING));
    await until(() => output.text.includes('> '));
    input.write('\x03');
    await until(() => output.text.includes('Ctrl-C again to quit.'));
    input.write('\x03');
    await done;
  });
});

describe('lines and columns', () => {
  test.each([
    ['hello /strength 3', { kind: 'say', text: 'hello /strength 3' }],
    ['/strength .4', { kind: 'strength', strength: 0.4 }],
    [' /arm  shuffled-00 ', { kind: 'arm', arm: 'shuffled-00' }],
    ['/arm', { kind: 'arm', arm: undefined }],
    ['/system You are  kind.', { kind: 'system', text: 'You are  kind.' }],
    ['/exit', { kind: 'quit' }],
  ])('%j', (line, parsed) => {
    expect(parseChatLine(line)).toEqual(parsed);
  });

  test('two texts beside each other lose nothing, and keep to the width', () => {
    expect([fitsBeside(80), fitsBeside(100)]).toEqual([false, true]);
    const [left, right] = ['one two three four five\n\nsix', `${'long'.repeat(9)} end`];
    const lines = besideEachOther(left, right, 33).split('\n');
    expect(lines.every((line) => line.length <= 33)).toBe(true);
    const columns = lines.map((line) => line.split(' │').map((cell) => cell.trim()));
    expect(
      columns
        .map(([cell]) => cell)
        .filter(Boolean)
        .join(' '),
    ).toBe(left.replace(/\s+/g, ' '));
    expect(
      columns
        .map(([, cell]) => cell)
        .join('')
        .replaceAll(' ', ''),
    ).toBe(right.replaceAll(' ', ''));
  });
});
