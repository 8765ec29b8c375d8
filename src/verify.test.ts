import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from './activations/capture.js';
import { alignHere } from './alignment/align.js';
import { AlignOptions } from './alignment/align-options.js';
import { logOdds } from './diagnosis/readout.js';
import { splitTexts } from './diagnosis/split.js';
import { labelledCorpus } from './evaluation/labelled-texts.js';
import { modelWithWords, TEMPLATE, writePlantedRemedy } from './evaluation/planted-remedy.test.support.js';
import { Verification } from './evaluation/schema.js';
import { type VerifiedRemedy, verifyHere, verifyRemedy } from './evaluation/verify.js';
import { VerifyOptions } from './evaluation/verify-options.js';
import { buildCorpus } from './moral/build.js';
import { readCorpus } from './moral/read.js';
import { parseOptions } from './options.js';
import { Random } from './random.js';
import { renderVerification } from './report/verify-report.js';
import { auc } from './statistics/ranks.js';

/** @file A remedy that is known to work, from its directory to verify.json; what is refused on the way. */

const COLUMNS = ['rot-bad', 'm', 'rot-moral-foundations', 'action', 'action-moral-judgment', 'action-agree', 'rot-id'];
const FOUNDATIONS = ['care-harm', 'fairness-cheating', 'loyalty-betrayal', 'authority-subversion', 'sanctity-degradation'];

let root: string;
let model: string;
const path = (name: string) => join(root, name);

/** Random words, of which the last says how it is judged. */
function action(random: Random, judgment: number): string {
  const word = () => String.fromCharCode(...Array.from({ length: 2 + random.below(4) }, () => 97 + random.below(26)));
  const end = judgment > 0 ? 'zzz' : judgment < 0 ? 'qqq' : 'the';
  return [...Array.from({ length: 1 + random.below(3) }, word), end].join(' ');
}

function corpusLines(random: Random, texts: number): string {
  const lines = Array.from({ length: texts }, (_, i) => {
    const judgment = [-2, 0, 2][i % 3];
    return ['0', '1', FOUNDATIONS[Math.floor(i / 3) % 5], action(random, judgment), judgment, 4, `id${i}`].join('\t');
  });
  return [COLUMNS.join('\t'), ...lines].join('\n');
}

const options = (out: string, more: Record<string, unknown> = {}) =>
  parseOptions(VerifyOptions, {
    model,
    remedy: path('remedy'),
    corpus: [path('corpus')],
    pairs: [path('pairs.jsonl')],
    text: path('general.txt'),
    out: path(out),
    strengths: [0.25, 1],
    rediagnosed: 4,
    threads: 1,
    ...more,
  });

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'verify-'));
  process.env.MORALSCOPE_CACHE = path('cache');
  model = await modelWithWords(path('model'));
  await writeFile(path('corpus.tsv'), corpusLines(new Random(2), 360));
  await buildCorpus({ from: path('corpus.tsv'), out: path('corpus') });
  const random = new Random(3);
  const pairs = Array.from({ length: 40 }, () => ({ moral_action: action(random, 1), immoral_action: action(random, -1) }));
  await writeFile(path('pairs.jsonl'), pairs.map((pair) => JSON.stringify(pair)).join('\n'));
  await writeFile(path('general.txt'), Array.from({ length: 12 }, () => action(random, 0)).join('\n'));
  const planted = { model, corpus: path('corpus') };
  await writePlantedRemedy({ ...planted, out: path('remedy'), shuffled: 20, random: 20 });
  await writePlantedRemedy({ ...planted, out: path('uncontrolled'), shuffled: 0, random: 0 });
  await writePlantedRemedy({ ...planted, out: path('idle'), shuffled: 20, random: 0, idle: true });
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

describe('a remedy that says what the states know', () => {
  let found: VerifiedRemedy;
  beforeAll(async () => {
    found = await verifyRemedy(options('out'));
  });

  test('closes the gap, on its own texts and on others, and a bag of words does as well', () => {
    const { sets, verdict, choice } = found.verification;
    expect(sets.map(({ name, fittedOn }) => [name, fittedOn])).toEqual([
      ['corpus', true],
      ['pairs', false],
    ]);
    for (const set of sets) {
      expect(set.knows.auc.value).toBeGreaterThan(0.99);
      expect(set.after.auc.value).toBeGreaterThan(0.95);
      expect(set.change.auc.p).toBeLessThan(0.005);
      expect(set.gapClosed.value).toBeGreaterThan(0.9);
      expect(set.controls.map(({ kind, n }) => [kind, n])).toEqual([
        ['shuffled', 20],
        ['random', 20],
      ]);
      expect(set.outcome).toBe('not above floors');
      expect(set.floors.bagOfWords.value).toBe(1);
    }
    expect(sets[1].after.pairsRight!.value).toBeGreaterThan(0.95);
    expect(sets.map(({ carried }) => carried?.value)).toEqual([undefined, expect.closeTo(1, 1)]);
    expect(sets[0].n).toMatchObject({ texts: 72, seen: 288, beyond: 0, training: 252 });
    expect(sets[1].n).toMatchObject({ texts: 80, pairs: 40, virtues: 40, vices: 40, seen: 0 });
    expect(choice).toMatchObject({ on: 'corpus', texts: 36 });
    expect(verdict.outcome).toBe('recalibrates');
  });

  test('says before what the captured readout of the held-out texts says', async () => {
    const corpus = await readCorpus(path('corpus'));
    const directory = await capture({ model, corpus, out: path('captured'), layers: [1], template: TEMPLATE, threads: 1 });
    const { ids, valence } = labelledCorpus(corpus);
    const test = splitTexts(ids.length, 0).test;
    const { logProbs, tokenIds, pairs } = (await directory.readout())!;
    const odds = logOdds(logProbs, tokenIds.length, pairs);
    const judged = test.filter((text) => valence[text] !== 0);
    const expected = auc(
      Float64Array.from(judged, (text) => odds[ids[text]]),
      Array.from(judged, (text) => (valence[text] > 0 ? 1 : 0)),
    );
    expect(found.verification.sets[0].before.auc.value).toBeCloseTo(expected, 3);
    expect(found.verification.words).toEqual([['good', 'bad']]);
  });

  test('costs something, more at a larger strength', () => {
    const { remedy, controls, tokens, before } = found.verification.damage;
    expect(remedy.map(({ strength }) => strength)).toEqual([0.25, 1]);
    expect(remedy[0].kl.value).toBeGreaterThan(0);
    expect(remedy[1].kl.value).toBeGreaterThan(remedy[0].kl.value!);
    expect(controls.map(({ n }) => n)).toEqual([20, 20]);
    expect(tokens).toBeGreaterThan(30);
    expect(before.perplexity).toBeGreaterThan(1);
  });

  test('moves the geometry of held-out texts', () => {
    const { rediagnosis } = found.verification;
    expect(rediagnosis).toMatchObject({ on: 'corpus', texts: 72, permutations: 200 });
    expect(rediagnosis!.controls).toEqual([
      { kind: 'shuffled', n: 2 },
      { kind: 'random', n: 2 },
    ]);
    expect(rediagnosis!.layers.map(({ layer, pooling }) => [layer, pooling])).toEqual([
      [1, 'last'],
      [1, 'content'],
    ]);
    const { before, after, controls } = rediagnosis!.layers[0].categorical;
    expect(after.value).toBeLessThan(before.value!);
    expect(after.p).toBeLessThan(0.05);
    expect(controls!.q975).toBeGreaterThanOrEqual(controls!.q025);
  });

  test('is written whole, and told again at once', async () => {
    const json = JSON.parse(await readFile(path('out/verify.json'), 'utf8'));
    expect(Verification.parse(json)).toEqual(found.verification);
    expect((await readdir(path('out'))).sort()).toEqual(['manifest.json', 'verify.json']);
    const again = await verifyRemedy(options('out'));
    expect(again).toEqual(found);
    await expect(verifyRemedy(options('out', { seed: 1 }))).rejects.toMatchObject({ code: 'misuse' });
  });

  test('reads in a report what verify.json says', () => {
    const report = renderVerification(found.verification, found.manifest);
    expect(report).toContain(found.verification.verdict.text.slice(0, 60));
    for (const name of ['corpus', 'pairs']) expect(report).toContain(`<h3>${name}</h3>`);
    expect(report).toContain('above controls, not above floors');
    expect(report.match(/<svg/g)!.length).toBeGreaterThan(4);
    expect(report).toBe(renderVerification(found.verification, found.manifest));
  });
});

test('stopped on the way, it goes on to the same numbers', async () => {
  const stop = new AbortController();
  const small = { corpus: [path('corpus')], pairs: [], rediagnosed: 0 };
  const onProgress = ({ task }: { task: string }) => {
    if (task === 'damage') stop.abort();
  };
  await expect(verifyRemedy({ ...options('stopped', small), onProgress, signal: stop.signal })).rejects.toMatchObject({
    code: 'cancelled',
  });
  await access(path('stopped/.work'));
  const begun: string[] = [];
  const { verification } = await verifyHere({ ...options('stopped', small), onProgress: ({ task }) => begun.push(task) });
  expect(begun).toContain('damage');
  expect(begun.filter((task) => task.startsWith('choose') || task.startsWith('read'))).toEqual([]);
  const { verification: whole } = await verifyHere(options('whole', small));
  expect(verification).toEqual(whole);
  expect(verification.rediagnosis).toBeNull();
  expect(verification.notes).toEqual([expect.stringContaining('--rediagnosed')]);
});

test('a remedy that says nothing is told to do nothing, and one without controls to prove nothing', async () => {
  const small = { pairs: [], rediagnosed: 0 };
  const idle = await verifyHere(options('idle-out', { ...small, remedy: path('idle') }));
  expect(idle.verification.verdict.outcome).toBe('nothing');
  expect(idle.verification.sets[0].change.auc).toMatchObject({ value: 0, p: 1 });
  const { verification } = await verifyHere(options('uncontrolled-out', { ...small, remedy: path('uncontrolled') }));
  expect(verification.verdict.outcome).toBe('unproven');
  expect(verification.verdict.text).toContain('align --controls');
});

test('all positions, labelled lines, no corpus: 30% of the lines choose', async () => {
  const random = new Random(5);
  const lines = Array.from({ length: 90 }, (_, i) => JSON.stringify({ text: action(random, (i % 3) - 1), label: (i % 3) - 1 }));
  await writeFile(path('lines.jsonl'), lines.join('\n'));
  const more = { corpus: [], pairs: [], labelled: [path('lines.jsonl')], positions: 'all' };
  const { verification } = await verifyHere(options('lines-out', more));
  const [set] = verification.sets;
  expect(set).toMatchObject({ kind: 'labelled', fittedOn: false });
  expect(set.n.texts + verification.choice.texts).toBe(90);
  expect(set.after.auc.value).toBeGreaterThan(0.95);
  expect(verification.notes[0]).toContain('that needs a corpus');
});

test('a prompt is verified as any other remedy, beside neutral texts', async () => {
  const prompt = { kind: 'prompt', model, prompt: 'be good and see what is bad', controls: true, threads: 1 };
  await alignHere(parseOptions(AlignOptions, { ...prompt, place: 'prefix', out: path('prompt') }));
  const { verification } = await verifyHere(options('prompt-out', { remedy: path('prompt'), template: TEMPLATE }));
  expect(verification.choice.chosen).toMatchObject({ mode: null, sites: [], strength: 1 });
  for (const { fittedOn, relation, controls } of verification.sets) {
    expect(fittedOn).toBe(false);
    expect(relation).toContain('fitted on no data set');
    expect(controls.map(({ kind, n }) => [kind, n])).toEqual([['neutral', 20]]);
  }
  expect(verification.damage.remedy[0].kl.value).toBeGreaterThan(0);
  expect(verification.notes).toEqual([expect.stringContaining('a prompt has no site')]);
  await alignHere(parseOptions(AlignOptions, { ...prompt, place: 'system', out: path('system') }));
  await expect(verifyHere(options('system-out', { remedy: path('system') }))).rejects.toMatchObject({ code: 'unsupported' });
});

describe('refuses', () => {
  test('a model that the remedy was not made for', async () => {
    const same = fileURLToPath(new URL('../fixtures/tiny-llama', import.meta.url));
    await expect(verifyHere(options('no', { model: same }))).rejects.toMatchObject({ code: 'misuse', message: /tokenizer/ });
  });

  test('nothing to judge on, a set twice, a mode that there is not, strengths out of range', async () => {
    const refused = (more: Record<string, unknown>, message: RegExp) =>
      expect(verifyHere(options('no', more))).rejects.toMatchObject({ code: 'misuse', message });
    await refused({ corpus: [], pairs: [] }, /nothing to judge/);
    await refused({ pairs: [path('pairs.jsonl'), path('pairs.jsonl')] }, /given twice/);
    await refused({ mode: 'blend' }, /no mode blend/);
    await refused({ strengths: [17] }, /strength of 17/);
  });

  test('files that are not what they should be', async () => {
    await expect(verifyHere(options('no', { remedy: path('corpus') }))).rejects.toMatchObject({ code: 'bad-file' });
    await expect(verifyHere(options('no', { remedy: path('nowhere') }))).rejects.toMatchObject({ code: 'not-found' });
    await expect(verifyHere(options('no', { pairs: [path('general.txt')] }))).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('line 1'),
    });
    await expect(verifyHere(options('no', { text: path('nowhere.txt') }))).rejects.toMatchObject({ code: 'not-found' });
  });
});
