import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeMadeRemedy } from '../alignment/remedy.test.support.js';
import type { Change, Intervention } from '../model/intervention.js';
import { shapeOf } from '../model/intervention.js';
import { LanguageModel } from '../model/language-model.js';
import { Random } from '../random.js';
import { type Served, serve, tinyModel } from './served.test.support.js';
import { SteeredModel } from './steered-model.js';

/** @file A served model that remedies change: each id is its arm, at its strength. */

const SITE = 'blocks.0.hook_resid_post';
const PROMPT = 'the tin hat is on the hen';

let root: string;
let tiny: Awaited<ReturnType<typeof tinyModel>>;
let served: Served;
let id: string;
const arms: Record<string, readonly Intervention[]> = {};

const at = (change: Change): Intervention[] => [{ site: SITE, change, positions: 'all', sinkThreshold: 1e9 }];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'steered-'));
  tiny = await tinyModel();
  const model = await LanguageModel.open(tiny.path);
  const { hidden } = model.spec;
  const random = new Random(3);
  const draw = () => Float32Array.from({ length: hidden }, () => random.normal() / 2);
  arms.remedy = at({ mode: 'project', w: draw(), b: 0.3, u: draw(), gate: 'linear' });
  arms['shuffled-00'] = at({ mode: 'project', w: draw(), b: -0.2, u: draw(), gate: 'linear' });
  arms['random-00+'] = at({ mode: 'add', direction: draw() });
  const { remedy, ...controls } = arms;
  await writeMadeRemedy(join(root, 'made'), model, remedy, controls);
  await writeMadeRemedy(join(root, 'words'), model, []);
  await cp(join(root, 'words'), join(root, 'lead'), { recursive: true });
  const words = JSON.parse(await readFile(join(root, 'lead', 'remedy.json'), 'utf8')) as { prompt: object };
  await writeFile(join(root, 'lead', 'remedy.json'), JSON.stringify({ ...words, prompt: { ...words.prompt, place: 'prefix' } }));
  const other = { ...model, name: 'another', spec: { hidden, layers: 9 } };
  await writeMadeRemedy(join(root, 'foreign'), other, remedy);
  await model.close();
  served = await serve(tiny.path, {
    remedies: [`remedy=${join(root, 'made')}`, join(root, 'words'), join(root, 'lead')],
    strength: 0.5,
  });
  id = served.model.name;
});
afterAll(async () => {
  await served.close();
  await tiny.remove();
  await rm(root, { recursive: true, force: true });
});

async function post(path: string, fields: object): Promise<{ status: number; json: Record<string, never> }> {
  const response = await fetch(`${served.url}/${path}`, { method: 'POST', body: JSON.stringify(fields) });
  return { status: response.status, json: (await response.json()) as Record<string, never> };
}

/** Log-probabilities of the prompt's tokens, as the server tells them of a model id. */
async function scored(model: string): Promise<number[]> {
  const { status, json } = await post('completions', { model, prompt: PROMPT, max_tokens: 0, echo: true, logprobs: 1 });
  expect(status).toBe(200);
  const [choice] = json.choices as unknown as { logprobs: { token_logprobs: number[] } }[];
  return choice.logprobs.token_logprobs.slice(1);
}

/** The same by a session that runs the whole text at once. */
async function expected(arm: string, strength: number): Promise<number[]> {
  const { model } = served.model;
  const interventions = arms[arm];
  const session = await model.session({ sites: [], logits: 'all', interventions: interventions.map(shapeOf) });
  const ids = model.tokenizer.encode(PROMPT);
  const batch = { ids, lengths: Int32Array.of(ids.length), batch: 1, length: ids.length };
  const { logits } = await session.run(batch, { steering: { interventions, strength } });
  await session.close();
  const vocabulary = logits!.length / ids.length;
  return Array.from(ids.subarray(1), (token, i) => {
    const row = logits!.subarray(i * vocabulary, (i + 1) * vocabulary);
    return row[token] - Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
  });
}

const distance = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));

describe('ids of a steered model', () => {
  test('each is its arm at its strength, all asked for at once', async () => {
    const cases = [
      [`${id}+remedy`, 'remedy', 0.5],
      [`${id}+remedy@1.5`, 'remedy', 1.5],
      [`${id}+remedy@-0.75`, 'remedy', -0.75],
      [`${id}+remedy:shuffled-00@1`, 'shuffled-00', 1],
      [`${id}+remedy:random-00+@2`, 'random-00+', 2],
    ] as const;
    const plain = await scored(id);
    const told = await Promise.all(cases.map(([model]) => scored(model)));
    for (const [i, [, arm, strength]] of cases.entries()) {
      expect(distance(told[i], await expected(arm, strength))).toBeLessThan(1e-4);
      expect(distance(told[i], plain)).toBeGreaterThan(0.01);
    }
    expect(await scored(`${id}+remedy@0`)).toEqual(plain);
  });

  test('are listed, one an arm, and any strength is found', async () => {
    const { data } = (await (await fetch(`${served.url}/models`)).json()) as { data: { id: string }[] };
    expect(data.map((model) => model.id)).toEqual([
      id,
      `${id}+remedy@0.5`,
      `${id}+remedy:shuffled-00@0.5`,
      `${id}+remedy:random-00+@0.5`,
      `${id}+words@1`,
      `${id}+lead@1`,
    ]);
    const found = await fetch(`${served.url}/models/${encodeURIComponent(`${id}+remedy:random-00+@-3`)}`);
    expect(await found.json()).toMatchObject({
      id: `${id}+remedy:random-00+@-3`,
      remedy: 'amplify',
      arm: 'random-00+',
      strength: -3,
    });
  });

  test.each([
    ['+remedy@17', 400, 'misuse', /strength of 17/],
    ['+remedy:random-77+', 404, 'model_not_found', /^remedy has no arm random-77\+, only/],
    ['+words:shuffled-00', 404, 'model_not_found', /^words has no arm .* made without --controls/],
    ['+words@0.5', 400, 'misuse', /strength of 0.5/],
    ['+nothing@1', 404, 'model_not_found', /\+remedy@STRENGTH/],
  ])('%s is refused', async (suffix, status, code, message) => {
    const { status: told, json } = await post('completions', { model: id + suffix, prompt: PROMPT });
    expect({ told, error: json.error }).toMatchObject({ told: status, error: { code, param: 'model' } });
    expect((json.error as { message: string }).message).toMatch(message);
  });
});

describe('a remedy of words', () => {
  test("is the system's message of a conversation", async () => {
    const fields = { max_tokens: 6, temperature: 0, logprobs: true };
    const user = { role: 'user', content: 'a hat' };
    const choice = async (model: string, messages: object[]) => {
      const { json } = await post('chat/completions', { ...fields, model, messages });
      return (json.choices as unknown as object[])[0];
    };
    const own = await choice(`${id}+words`, [user]);
    expect(own).toEqual(await choice(id, [{ role: 'system', content: 'Be kind.' }, user]));
    expect(own).not.toEqual(await choice(id, [user]));
    expect(await choice(`${id}+words@0`, [user])).toEqual(await choice(id, [user]));
    expect(await choice(`${id}+words`, [{ role: 'system', content: 'on time' }, user])).toEqual(
      await choice(id, [{ role: 'system', content: 'Be kind.\n\non time' }, user]),
    );
  });

  test('before a plain text is read with it, and not told again', async () => {
    const how = { max_tokens: 3, temperature: 0, echo: true, logprobs: 0, ignore_eos: true };
    const choice = async (model: string, prompt: string) => {
      const { json } = await post('completions', { ...how, model, prompt });
      type Choice = { text: string; logprobs: { tokens: string[]; token_logprobs: (number | null)[] } };
      return (json.choices as unknown as Choice[])[0];
    };
    const [own, both] = [await choice(`${id}+lead`, PROMPT), await choice(id, `Be kind.${PROMPT}`)];
    expect(own.text).toBe(both.text.slice(both.text.indexOf(PROMPT)));
    expect(own.logprobs.tokens).toEqual(both.logprobs.tokens.slice(-own.logprobs.tokens.length));
    expect(own.logprobs.tokens.length).toBeLessThan(both.logprobs.tokens.length);
    const told = both.logprobs.token_logprobs.slice(-own.logprobs.tokens.length);
    expect(distance(own.logprobs.token_logprobs as number[], told as number[])).toBeLessThan(1e-5);
    const chat = await post('chat/completions', { model: `${id}+lead`, messages: [{ role: 'user', content: 'a hat' }] });
    expect(chat).toMatchObject({ status: 400, json: { error: { param: 'messages' } } });
  });

  test('has no place in a plain text', async () => {
    const { status, json } = await post('completions', { model: `${id}+words`, prompt: 'a' });
    expect({ status, error: json.error }).toMatchObject({ status: 400, error: { param: 'prompt' } });
  });
});

describe('what does not fit is refused before anything is served', () => {
  test.each([
    ['a remedy of another model', { remedies: ['foreign'] }, /9 layers \(another\)/],
    ['two of a name', { remedies: ['a=made', 'a=words'] }, /Two remedies are called a/],
    ['a name that no id can hold', { remedies: ['a@b=made'] }, /cannot be called "a@b"/],
    ['a mode that it does not have', { remedies: ['made'], mode: 'blend' as const }, /no mode blend, only project/],
    ['a layer that it does not change', { remedies: ['made'], layers: [1] }, /nothing at layer 1, only at 0/],
    ['a strength out of range', { remedies: ['made'], strength: 99 }, /strength of 99/],
  ])('%s', async (_, { remedies, ...options }, message) => {
    const paths = remedies.map((path) => path.replace(/[^=]+$/, (name) => join(root, name)));
    await expect(SteeredModel.open(tiny.path, { ...options, remedies: paths })).rejects.toThrow(message);
  });
});
