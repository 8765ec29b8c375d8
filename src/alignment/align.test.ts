import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../activations/capture.js';
import { JudgedTexts } from '../diagnosis/judged-texts.js';
import { plantedStates, writeActivations } from '../diagnosis/planted.test.support.js';
import { polarityLabels } from '../diagnosis/readout.js';
import { LanguageModel } from '../model/language-model.js';
import { buildCorpus } from '../moral/build.js';
import type { Corpus } from '../moral/corpus.js';
import { FOUNDATIONS } from '../moral/foundation.js';
import { readCorpus } from '../moral/read.js';
import { parseOptions } from '../options.js';
import { Random } from '../random.js';
import { auc } from '../statistics/ranks.js';
import { align, alignHere } from './align.js';
import { AlignOptions } from './align-options.js';
import { changedStates } from './changed-states.js';
import { contrastOfCorpus } from './contrast.js';
import { products } from './linear-fit.js';
import { pushedAlong, readBy } from './linear-vectors.js';
import { openRemedy, requireItsModel } from './remedy.js';

/** @file From a corpus with a planted signal, or from pairs and a tiny model, to a remedy with its controls; and what is refused on the way. */

const MODEL = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
const [TEXTS, HIDDEN, SEED, VALENCE] = [500, 12, 3, 3];
const COLUMNS = ['rot-bad', 'm', 'rot-moral-foundations', 'action', 'action-moral-judgment', 'action-agree', 'rot-id'];

let root: string;
let corpus: Corpus;
const path = (name: string) => join(root, name);

const word = (random: Random) => String.fromCharCode(...Array.from({ length: 3 + random.below(5) }, () => 97 + random.below(26)));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'align-'));
  process.env.MORALSCOPE_CACHE = path('cache');
  const random = new Random(1, 'align test');
  const lines = Array.from({ length: TEXTS }, (_, i) =>
    [
      '0',
      '1',
      FOUNDATIONS[i % 5],
      `${word(random)} ${word(random)} ${i}`,
      random.below(5) - 2,
      2 + random.below(3),
      `id${i}`,
    ].join('\t'),
  );
  await writeFile(path('corpus.tsv'), [COLUMNS.join('\t'), ...lines].join('\n'));
  await buildCorpus({ from: path('corpus.tsv'), out: path('corpus') });
  corpus = await readCorpus(path('corpus'));
  const planted = { corpus, seed: SEED, hidden: HIDDEN, layers: [{ valence: 0 }, { valence: VALENCE }] };
  await writeActivations(path('states'), planted);
  await writeActivations(path('means'), { ...planted, poolings: ['mean'] });
  const spoilt = (layer: number, _: string, states: Float32Array) => {
    if (layer === 1) states[5 * HIDDEN + 2] = Number.NaN;
  };
  await writeActivations(path('spoilt'), { ...planted, edit: spoilt });
  const pairs = Array.from({ length: 60 }, () => {
    const start = `${word(random)} ${word(random)}`;
    return JSON.stringify({ moral_action: `${start} zzz`, immoral_action: `${start} qqq` });
  });
  await writeFile(path('pairs.jsonl'), pairs.join('\n'));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const parsed = (options: Record<string, unknown>) => parseOptions(AlignOptions, { threads: 1, seed: SEED, ...options });
const fromCorpus = (kind: string, out: string, more: Record<string, unknown> = {}) =>
  parsed({ kind, activations: path('states'), corpus: path('corpus'), layers: '1', out: path(out), ...more });

/** The direction that `plantedStates` plants at layer 1. */
function planted(): Float64Array {
  const random = new Random(SEED + 10, 'valence');
  const drawn = Float64Array.from({ length: HIDDEN }, () => random.normal());
  return drawn.map((value) => value / Math.hypot(...drawn));
}

describe('a corpus with a planted direction', () => {
  test.each(['caa', 'pca', 'amplify', 'conva'])(
    '%s: the remedy reads it on unseen texts, its shuffled controls do not',
    async (kind) => {
      const { content, directory } = await alignHere(fromCorpus(kind, kind, { controls: true }));
      const [site] = content.sites;
      const { evaluation, fit } = site;
      expect(site).toMatchObject({ site: 'blocks.1.hook_resid_post', layer: 1, sinkThreshold: 3000 });
      expect(fit).toMatchObject({ train: 350, validation: 50 });
      expect(evaluation).toMatchObject({ on: "the corpus's test texts", texts: 100, strength: 1 });
      expect(evaluation!.virtues + evaluation!.vices).toBe(evaluation!.probe.n);
      expect(evaluation!.probe.before).toBeGreaterThan(0.9);
      for (const [pole, { n, read }] of Object.entries(evaluation!.perPole)) {
        expect(n).toBeGreaterThan(5);
        const virtuous = ['care', 'fairness', 'loyalty', 'authority', 'sanctity'].includes(pole);
        expect(virtuous ? read! : -read!).toBeGreaterThan(0.3);
      }
      expect(Object.keys(evaluation!.opposition)).toEqual([...FOUNDATIONS]);

      const remedy = await openRemedy(directory);
      expect(remedy.arms).toHaveLength(1 + 20 + 2 * 50);
      const contrast = contrastOfCorpus(corpus, SEED);
      const test = contrast.split.test.map((text) => contrast.rows[text]);
      const { data } = plantedStates(corpus, HIDDEN, SEED + 10, { valence: VALENCE });
      const states = Float32Array.from(Array.from(test).flatMap((row) => [...data.subarray(row * HIDDEN, (row + 1) * HIDDEN)]));
      const labels = polarityLabels(Float32Array.from(contrast.split.test, (text) => contrast.observed.signed[text]));
      const vectors = (arm: string) => {
        const [{ change }] = remedy.interventions({ arm });
        return { reads: readBy(change), pushes: pushedAlong(change) };
      };
      const discriminates = (arm: string) => auc(products(states, vectors(arm).reads), labels);
      expect(discriminates('remedy')).toBeGreaterThan(0.9);
      const along = planted();
      const { pushes } = vectors('remedy');
      expect(pushes.reduce((sum, value, c) => sum + value * along[c], 0) / Math.hypot(...pushes)).toBeGreaterThan(0.9);
      const shuffled = remedy.arms.filter((arm) => arm.kind === 'shuffled').map(({ name }) => discriminates(name));
      expect(shuffled).toHaveLength(20);
      expect(fit!.read.auc).toBeCloseTo(discriminates('remedy'), 6);
      expect(fit!.read.shuffled!.mean).toBeCloseTo(shuffled.reduce((sum, value) => sum + value, 0) / 20, 6);
      expect(Math.abs(shuffled.reduce((sum, value) => sum + value, 0) / 20 - 0.5)).toBeLessThan(0.15);
      for (const { name, sign } of remedy.arms.filter((arm) => arm.kind === 'random')) {
        const { pushes: pushed, reads } = vectors(name);
        expect(Math.hypot(...pushed)).toBeCloseTo(fit!.norm, 3);
        if (kind === 'amplify') expect(reads).toEqual(vectors('remedy').reads);
        const other = vectors(name.slice(0, -1) + (sign === 1 ? '-' : '+')).pushes;
        expect(other).toEqual(pushed.map((value) => -value));
      }
    },
  );

  test('the same command returns what is there; other options are refused', async () => {
    const before = await stat(path('caa/remedy.json'));
    const again = await align(fromCorpus('caa', 'caa', { controls: true }));
    expect(again.content).toEqual(JSON.parse(await readFile(path('caa/remedy.json'), 'utf8')));
    expect((await stat(path('caa/remedy.json'))).mtimeMs).toBe(before.mtimeMs);
    await expect(alignHere(fromCorpus('caa', 'caa'))).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringContaining('controls'),
    });
  });

  test('the same seed gives the same bytes, another seed another split', async () => {
    await alignHere(fromCorpus('caa', 'twin', { controls: true }));
    const bytes = (name: string) => readFile(path(`${name}/remedy.safetensors`));
    expect((await bytes('twin')).equals(await bytes('caa'))).toBe(true);
    await alignHere(fromCorpus('caa', 'other', { controls: true, seed: 4 }));
    expect((await bytes('other')).equals(await bytes('caa'))).toBe(false);
  });

  test('amplify raises the discrimination along the means; caa moves states and no AUC', async () => {
    const amplified = JSON.parse(await readFile(path('amplify/remedy.json'), 'utf8')).sites[0].evaluation;
    expect(amplified.alongMeans.after).toBeGreaterThanOrEqual(amplified.alongMeans.before);
    expect(amplified.changeNorm).toBeGreaterThan(0.5 * amplified.stateNorm);
    const added = JSON.parse(await readFile(path('caa/remedy.json'), 'utf8')).sites[0].evaluation;
    expect(added.alongMeans.after).toBeCloseTo(added.alongMeans.before, 2);
    expect(added.changeNorm).toBeCloseTo(JSON.parse(await readFile(path('caa/remedy.json'), 'utf8')).sites[0].fit.norm, 2);
  });

  test('conva brings states to its target', async () => {
    await alignHere(fromCorpus('conva', 'low', { target: 0.5 }));
    const remedy = await openRemedy(path('low'));
    const [intervention] = remedy.interventions();
    const { data } = plantedStates(corpus, HIDDEN, SEED + 10, { valence: VALENCE });
    const after = changedStates(data, HIDDEN, intervention, 1);
    const moved = Array.from({ length: TEXTS }, (_, i) => after[i * HIDDEN + 3] !== data[i * HIDDEN + 3]);
    const valence = JudgedTexts.of(corpus).valence();
    const share = (side: number) => {
      const texts = [...valence.keys()].filter((text) => Math.sign(valence[text]) === side);
      return texts.filter((text) => moved[text]).length / texts.length;
    };
    // Those judged bad lie below P = .5 and are lifted to it, those judged good stay.
    expect(share(-1)).toBeGreaterThan(0.8);
    expect(share(1)).toBeLessThan(0.2);
  });

  test('several layers are several sites, and say that they add up', async () => {
    const { content } = await alignHere(fromCorpus('amplify', 'both', { layers: '0-1', weigh: true }));
    expect(content.sites.map(({ layer }) => layer)).toEqual([0, 1]);
    expect(content.notes.some((note) => note.includes('add up'))).toBe(true);
    const [silent, speaking] = content.sites.map(({ evaluation }) => evaluation!.probe.before!);
    expect(silent).toBeLessThan(0.7);
    expect(speaking).toBeGreaterThan(0.9);
  });
});

describe('pairs and a model', () => {
  test('are captured, fitted and evaluated on unseen pairs', async () => {
    const options = parsed({
      kind: 'amplify',
      pairs: path('pairs.jsonl'),
      model: MODEL,
      layers: '1',
      out: path('pairs'),
      controls: true,
    });
    const { content } = await alignHere(options);
    expect(content.corpus).toMatchObject({ name: 'pairs.jsonl', pairs: true });
    const { fit, evaluation } = content.sites[0];
    expect(fit).toMatchObject({ train: 84, validation: 12 });
    expect(evaluation).toMatchObject({ on: 'unseen pairs', texts: 24, perPole: {}, pairsRight: { n: 12 } });
    // Every good text ends in one word, every bad one in another.
    expect(evaluation!.probe.before).toBeGreaterThan(0.9);
    const remedy = await openRemedy(path('pairs'));
    const model = await LanguageModel.open(MODEL);
    expect(() => requireItsModel(remedy, model)).not.toThrow();
    expect(content.model.tokenizer).toBe(model.tokenizer.sha256);
    await model.close();
  });

  test('or states that were captured before give the same', async () => {
    const { pairs } = { pairs: (await readFile(path('pairs.jsonl'), 'utf8')).split('\n').map((line) => JSON.parse(line)) };
    const texts = pairs.flatMap((pair) => [pair.immoral_action, pair.moral_action]);
    await capture({ model: MODEL, texts, layers: [1], pools: ['last'], out: path('captured'), threads: 1 });
    const { content } = await alignHere(
      parsed({ kind: 'amplify', pairs: path('pairs.jsonl'), activations: path('captured'), out: path('again') }),
    );
    const before = JSON.parse(await readFile(path('pairs/remedy.json'), 'utf8')).sites[0];
    expect(content.sites[0].evaluation!.probe).toEqual(before.evaluation.probe);
    expect(content.sites[0].fit!.norm).toBeCloseTo(before.fit.norm, 3);
    await writeFile(path('more.jsonl'), JSON.stringify({ virtue: 'help', vice: 'harm' }));
    await expect(
      alignHere(parsed({ kind: 'caa', pairs: path('more.jsonl'), activations: path('captured'), out: path('more') })),
    ).rejects.toMatchObject({ code: 'misuse', message: expect.stringContaining('does not hold "help"') });
  });

  test('a pair with a text that was there before is left out, and told', async () => {
    const lines = (await readFile(path('pairs.jsonl'), 'utf8')).split('\n');
    await writeFile(path('repeated.jsonl'), [...lines, lines[4], ''].join('\n'));
    const { content } = await alignHere(
      parsed({ kind: 'pca', pairs: path('repeated.jsonl'), activations: path('captured'), out: path('repeated') }),
    );
    expect(content.sites[0].fit).toMatchObject({ train: 84, pairs: 42 });
    expect(content.notes[0]).toMatch(/^1 pairs with a text of an earlier pair/);
  });
});

test('a prompt: its text, and neutral ones of as many tokens', async () => {
  const prompt = 'Think about what is right and what is wrong before you speak.';
  const { content } = await alignHere(
    parsed({ kind: 'prompt', model: MODEL, prompt, place: 'prefix', controls: true, out: path('prompt') }),
  );
  const remedy = await openRemedy(path('prompt'));
  expect(remedy.interventions()).toEqual([]);
  expect(remedy.prompt()).toEqual({ place: 'prefix', text: prompt });
  expect(() => remedy.interventions({ mode: 'add' })).toThrow(/\(prompt\) has no mode add, since it is a text/);
  const model = await LanguageModel.open(MODEL);
  const count = (text: string) => model.tokenizer.encode(text, { addSpecialTokens: false, plain: true }).length;
  expect(content.prompt!.tokens).toBe(count(prompt));
  const neutral = remedy.arms.filter(({ kind }) => kind === 'neutral');
  expect(neutral).toHaveLength(20);
  expect(new Set(neutral.map(({ text }) => text)).size).toBe(20);
  for (const { name } of neutral) expect(Math.abs(count(remedy.prompt(name)!.text) - count(prompt))).toBeLessThanOrEqual(1);
  await model.close();
});

describe('refused with a reason', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['corpus and pairs', { pairs: 'x.jsonl' }, /either --corpus or --pairs/],
    ['neither corpus nor pairs', { corpus: undefined }, /either --corpus or --pairs/],
    ['neither activations nor model', { activations: undefined }, /--activations, or --model/],
    ['a template for states that are captured', { template: '{action}' }, /--template is decided/],
    ['an autoencoder', { sae: ['x'] }, /--sae means nothing to a remedy of kind caa/],
    ['a target', { target: 0.5 }, /--target means nothing to a remedy of kind caa/],
    ["the paper's profile", { profile: 'paper' }, /The paper has no remedy of kind caa/],
    ['no layer of several', { layers: undefined }, /holds 2 layers/],
    ['a layer the model lacks', { layers: '7' }, /no layer 7/],
    ['mean states alone', { activations: 'means' }, /holds no 'last' states, only mean/],
    [
      'a prompt without text',
      { kind: 'prompt', activations: undefined, corpus: undefined, layers: undefined, model: MODEL },
      /needs --prompt/,
    ],
    [
      'a prompt with layers',
      { kind: 'prompt', activations: undefined, corpus: undefined, model: MODEL, prompt: 'x' },
      /--layers means nothing/,
    ],
  ])('%s', async (name, changed, message) => {
    const given =
      'activations' in changed && typeof changed.activations === 'string'
        ? { ...changed, activations: path(changed.activations) }
        : changed;
    const options = { ...fromCorpus('caa', `refused ${name}`), ...given } as AlignOptions;
    await expect(alignHere(options)).rejects.toMatchObject({ code: 'misuse', message: expect.stringMatching(message) });
  });

  test('states that are no numbers, a corpus of other activations, a model of others', async () => {
    await expect(alignHere(fromCorpus('caa', 'nan', { activations: path('spoilt') }))).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringMatching(/blocks\.1\.hook_resid_post: the state of text 5 holds NaN/),
    });
    await expect(alignHere(fromCorpus('caa', 'stranger', { activations: path('captured') }))).rejects.toMatchObject({
      code: 'misuse',
    });
    await expect(alignHere(fromCorpus('caa', 'model', { model: MODEL }))).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringContaining('not of tiny-llama'),
    });
  });

  test.each([
    ['{"virtue": "a"}', /line 2 holds no pair/],
    ['{"virtue": "a", "vice": ""}', /line 2 has no text in vice/],
    ['{"moral_action": "a", "immoral_action": "a"}', /line 2 has the same text twice/],
    ['nonsense', /line 2 is not JSON/],
  ])('pairs with %s', async (line, message) => {
    await writeFile(path('bad.jsonl'), `{"virtue": "good", "vice": "bad"}\n${line}\n`);
    const options = parsed({ kind: 'caa', pairs: path('bad.jsonl'), model: MODEL, layers: '0', out: path('bad') });
    await expect(alignHere(options)).rejects.toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
  });

  test('too few pairs', async () => {
    const lines = (await readFile(path('pairs.jsonl'), 'utf8')).split('\n').slice(0, 8);
    await writeFile(path('few.jsonl'), lines.join('\n'));
    const options = parsed({ kind: 'caa', pairs: path('few.jsonl'), activations: path('captured'), out: path('few') });
    await expect(alignHere(options)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('6 good texts'),
    });
  });
});
