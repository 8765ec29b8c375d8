import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../activations/capture.js';
import { ActivationDirectory } from '../activations/directory.js';
import { sha256File } from '../artifact/files.js';
import { takeRows } from '../model/token-rows.js';
import { buildCorpus } from '../moral/build.js';
import { readCorpus } from '../moral/read.js';
import { parseOptions } from '../options.js';
import { Random } from '../random.js';
import { writeForeignSaes } from '../sae/formats/foreign.test.support.js';
import { openSae } from '../sae/formats/open-sae.js';
import { writeSaeLens } from '../sae/formats/saelens.js';
import { reconstruct } from '../sae/forward.js';
import { asJumpRelu } from '../sae/jump-relu.js';
import { trainSaes } from '../sae/train.js';
import { TrainSaeOptions } from '../sae/train-options.js';
import { align, alignHere } from './align.js';
import { AlignOptions } from './align-options.js';
import { changedStates } from './changed-states.js';
import { contrastOfCorpus } from './contrast.js';
import { meanLength } from './linear-evaluation.js';
import { openRemedy, type Remedy } from './remedy.js';
import { notesOf } from './sae-remedy.js';

/** @file From a corpus and a trained autoencoder of a random Llama to a remedy with its controls, and what is refused on the way. */

const MODEL = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
const [TEXTS, D, WIDTH] = [720, 32, 64];
const COLUMNS = ['rot-bad', 'm', 'rot-moral-foundations', 'action', 'action-moral-judgment', 'action-agree', 'rot-id'];

let root: string;
const path = (name: string) => join(root, name);
const SAE = 'saes/L1-topk-w64-k6';

/** Actions of one foundation each, whose last word tells good from bad from neither. */
function corpusLines(random: Random, judged = true): string {
  const word = () => String.fromCharCode(...Array.from({ length: 2 + random.below(5) }, () => 97 + random.below(26)));
  const foundations = ['care-harm', 'sanctity-degradation'];
  const lines = Array.from({ length: TEXTS }, (_, i) => {
    const judgment = [-2, 0, 2][judged ? i % 3 : random.below(3)];
    const end = !judged ? word() : judgment > 0 ? 'zzz' : judgment < 0 ? 'qqq' : 'the';
    const text = [...Array.from({ length: 2 + random.below(3) }, word), end].join(' ');
    return ['0', '1', foundations[Math.floor(i / 3) % 2], text, judgment, 4, `id${i}`].join('\t');
  });
  return [COLUMNS.join('\t'), ...lines].join('\n');
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'sae-remedy-'));
  process.env.MORALSCOPE_CACHE = path('cache');
  const corpora = { corpus: corpusLines(new Random(2)), noise: corpusLines(new Random(3), false) };
  for (const [name, lines] of Object.entries(corpora)) {
    await writeFile(path(`${name}.tsv`), lines);
    await buildCorpus({ from: path(`${name}.tsv`), out: path(name) });
  }
  await writeFile(path('few.tsv'), corpora.corpus.split('\n').slice(0, 60).join('\n'));
  await buildCorpus({ from: path('few.tsv'), out: path('few') });
  const common = { model: MODEL, template: 'it is {action}', readout: false, threads: 1 };
  const captured = async (corpus: string, out: string, pools: ('last' | 'mean' | 'tokens')[], layers: number[]) =>
    capture({ ...common, corpus: await readCorpus(path(corpus)), out: path(out), pools, layers });
  await captured('corpus', 'states', ['last', 'mean', 'tokens'], [0, 1]);
  await captured('corpus', 'lasts', ['last'], [1]);
  await captured('corpus', 'means', ['mean'], [1]);
  await captured('noise', 'noise-states', ['last', 'mean'], [1]);
  await captured('few', 'few-states', ['last', 'mean'], [1]);
  const training = { activations: path('states'), out: path('saes'), layers: '0,1', states: 'last', width: [WIDTH], k: [6] };
  await trainSaes(parseOptions(TrainSaeOptions, { ...training, batch: 64, tokens: 64 * 60, learningRate: 3e-3, threads: 1 }));
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const options = (out: string, more: Record<string, unknown> = {}) =>
  parseOptions(AlignOptions, {
    sae: [path(SAE)],
    activations: path('states'),
    corpus: path('corpus'),
    out: path(out),
    epochs: 12,
    batch: 128,
    learningRate: 3e-3,
    threads: 1,
    ...more,
  });
const quick = { permutations: 400 };

/** Length of a random direction of the remedy, over its own mean change of the training texts' states. */
async function randomOverOwn(remedy: Remedy, mode: 'delta' | 'blend', activations: string, pooling: 'last' | 'mean') {
  const { change } = remedy.interventions({ arm: 'random-01+', mode })[0];
  if (change.mode !== 'add') throw new Error(change.mode);
  const { rows, split } = contrastOfCorpus(await readCorpus(path('corpus')), 0);
  const x = takeRows(
    await (await ActivationDirectory.open(path(activations))).read(1, pooling),
    D,
    split.train.map((text) => rows[text]),
  );
  const changed = changedStates(x, D, remedy.interventions({ mode })[0], 1);
  const own = meanLength(
    changed.map((value, at) => value - x[at]),
    D,
  );
  return Math.hypot(...change.direction) / own;
}

describe('a remedy of a trained autoencoder, rigorous', () => {
  let remedy: Remedy;
  beforeAll(async () => {
    await align(options('rigorous', { ...quick, controls: true }));
    remedy = await openRemedy(path('rigorous'));
  });

  test('has every arm with its tensors', () => {
    expect(remedy.kind).toBe('sae');
    expect(remedy.arms.map(({ name }) => name)).toEqual([
      'remedy',
      'unaligned',
      ...Array.from({ length: 20 }, (_, i) => `shuffled-${String(i).padStart(2, '0')}`),
      ...Array.from({ length: 20 }, (_, i) => `relabelled-${String(i).padStart(2, '0')}`),
      ...Array.from({ length: 50 }, (_, i) => [
        `random-${String(i).padStart(2, '0')}+`,
        `random-${String(i).padStart(2, '0')}-`,
      ]).flat(),
    ]);
    for (const { name, kind, modes } of remedy.arms)
      for (const mode of modes)
        expect(remedy.interventions({ arm: name, mode })[0].change.mode).toBe(kind === 'random' ? 'add' : mode);
    expect(() => remedy.interventions({ arm: 'unaligned', mode: 'delta' })).toThrow(/no mode delta/);
  });

  test('tells why each latent was chosen, and what held-out texts say', () => {
    const [{ features, alignment, evaluation, curves }] = remedy.sites;
    expect(features!.length).toBeGreaterThan(0);
    for (const { reason } of features!) expect(reason).toMatch(/^survives on texts that did not choose it \(q /);
    expect(alignment).toMatchObject({
      pooling: 'last',
      texts: { train: 504, validation: 72, test: 144 },
      thresholds: { on: 'content tokens' },
      settings: { epochs: 12, batch: 128, learningRate: 0.003, weightDecay: 0.01, patience: 10 },
    });
    expect(alignment!.fidelity.original.l0).toBeCloseTo(6, 6);
    expect(alignment!.units.z).toBeGreaterThan(0);
    expect(alignment!.beside.activation.shuffled).not.toBeNull();
    const { value, shuffled, relabelled } = alignment!.activation.rise;
    const { before, after } = alignment!.beside.activation;
    expect(value).toBeCloseTo(after! - before!, 12);
    expect(shuffled!.q025).toBeLessThan(shuffled!.q975);
    expect(relabelled!.q025).toBeLessThan(relabelled!.q975);
    // The judgments are what training goes by: the same latents do not learn them from exchanged ones.
    expect(value).toBeGreaterThan(relabelled!.q975);
    expect(alignment!.beside.changeNorm.after).toBeCloseTo(evaluation!.changeNorm, 9);
    expect(evaluation).toMatchObject({ texts: 144, mode: 'delta', strength: 1 });
    expect(curves!['validation/total']).toHaveLength(13);
    expect(curves!['train/mono'].every((value) => Number.isFinite(value))).toBe(true);
  });

  test('its change is that of the aligned autoencoder less that of the one before, which blend has as an arm', async () => {
    const x = await (await ActivationDirectory.open(path('states'))).read(1, 'last');
    const { sae: aligned } = await openSae(path('rigorous/sae/blocks.1.hook_resid_post'));
    expect(aligned.spec.architecture).toBe('jumprelu');
    const changed = (arm: string, mode: 'delta' | 'blend') => changedStates(x, D, remedy.interventions({ arm, mode })[0], 1);
    const own = reconstruct(aligned, x, TEXTS);
    const [delta, blend, unaligned] = [changed('remedy', 'delta'), changed('remedy', 'blend'), changed('unaligned', 'blend')];
    let largest = 0;
    for (let at = 0; at < x.length; at++) {
      expect(Math.abs(blend[at] - own[at])).toBeLessThan(1e-4);
      expect(Math.abs(delta[at] - x[at] - (blend[at] - unaligned[at]))).toBeLessThan(1e-4);
      largest = Math.max(largest, Math.abs(delta[at] - x[at]));
    }
    expect(largest).toBeGreaterThan(1e-3);
  });

  test('before alignment it is the autoencoder without competition, and only the features differ from it', async () => {
    const change = remedy.interventions({ arm: 'unaligned' })[0].change;
    if (change.mode !== 'blend') throw new Error(change.mode);
    const { sae: original } = await openSae(path(SAE));
    expect(change.latents.wEnc).toEqual(original.weights.wEnc);
    expect(change.latents.wDec).toEqual(original.weights.wDec);
    expect(change.latents.bEnc).toEqual(original.weights.bEnc);
    expect(change.bias).toEqual(original.weights.bDec);
    const { sae: aligned } = await openSae(path('rigorous/sae/blocks.1.hook_resid_post'));
    expect(aligned.weights.threshold).toEqual(change.latents.threshold);
    const differing = Array.from({ length: WIDTH }, (_, f) => f).filter(
      (f) =>
        aligned.weights.bEnc[f] !== original.weights.bEnc[f] ||
        aligned.weights.wDec.subarray(f * D, (f + 1) * D).some((value, c) => value !== original.weights.wDec[f * D + c]) ||
        Array.from({ length: D }, (_, c) => c * WIDTH + f).some((at) => aligned.weights.wEnc[at] !== original.weights.wEnc[at]),
    );
    expect(differing).toEqual(remedy.sites[0].features!.map(({ latent }) => latent));
  });

  test.each(['delta', 'blend'] as const)(
    'random directions are as long as its own mean %s of the fitting texts',
    async (mode) => {
      const of = (arm: string) => {
        const { change } = remedy.interventions({ arm, mode })[0];
        if (change.mode !== 'add') throw new Error(change.mode);
        return change.direction;
      };
      const [plus, minus, other] = [of('random-07+'), of('random-07-'), of('random-08+')];
      expect(Math.hypot(...plus)).toBeCloseTo(Math.hypot(...other), 5);
      expect(minus).toEqual(plus.map((value) => -value));
      expect(await randomOverOwn(remedy, mode, 'states', 'last')).toBeCloseTo(1, 4);
    },
  );

  test('shuffled fits choose as many latents of each pole, and other ones', () => {
    const own = remedy.interventions()[0].change;
    const shuffled = Array.from(
      { length: 20 },
      (_, i) => remedy.interventions({ arm: `shuffled-${String(i).padStart(2, '0')}` })[0].change,
    );
    if (own.mode !== 'delta') throw new Error(own.mode);
    for (const change of shuffled) expect(change.mode === 'delta' && change.before.bEnc.length).toBe(own.before.bEnc.length);
    expect(new Set(shuffled.map((change) => change.mode === 'delta' && change.before.bEnc.join())).size).toBeGreaterThan(1);
  });

  test('relabelled fits train the latents of the remedy, from where it began, to other ends', () => {
    const [own, ...relabelled] = ['remedy', 'relabelled-00', 'relabelled-19'].map((arm) => {
      const { change } = remedy.interventions({ arm })[0];
      if (change.mode !== 'delta') throw new Error(change.mode);
      return change;
    });
    for (const { before } of relabelled) expect(before).toEqual(own.before);
    const ends = [own, ...relabelled].map(({ after }) => after.wDec.join());
    expect(new Set(ends).size).toBe(3);
  });

  test('notes tell which control fits change states by less than half of what the remedy does', () => {
    const [{ alignment, ...site }] = remedy.sites;
    const spread = (mean: number) => ({ mean, q025: 0, q975: 2 * mean });
    const sizes = (after: number, shuffled: number, relabelled: number) => {
      const changeNorm = { before: 0, after, shuffled: spread(shuffled), relabelled: spread(relabelled) };
      const beside = { ...alignment!.beside, changeNorm };
      return notesOf([{ ...site, alignment: { ...alignment!, beside } }], '', 'last').filter((note) => note.includes('size'));
    };
    expect(sizes(0.4, 0.12, 0.2)).toEqual([
      'Layer 1: shuffled fits change states by .12 on average where the remedy changes them by .40: that the remedy is above them may be a matter of size.',
    ]);
    expect(sizes(0.0021, 0.0011, 0.0008)).toEqual([
      expect.stringMatching(/^Layer 1: relabelled fits change states by \.0008 .* by \.0021:/),
    ]);
    expect(sizes(0.4, 0.1, 0.1)).toHaveLength(2);
  });

  test('what is stopped leaves no result, and goes on with the fits that it has, to the same bytes', async () => {
    const stopped = options('stopped', { ...quick, controls: true });
    const stop = new AbortController();
    const onProgress = ({ task, done }: { task: string; done: number }) => {
      if (task.startsWith('control fits') && done >= 6) stop.abort();
    };
    await expect(align({ ...stopped, onProgress, signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
    await expect(readFile(path('stopped/manifest.json'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await readdir(path('stopped/.work'))).length).toBeGreaterThanOrEqual(8);

    const again: string[] = [];
    await align({ ...stopped, onProgress: ({ task, done, total }) => done < total! && again.push(task.split(',')[0]) });
    expect(again).not.toContain('choose latents');
    expect(again.filter((task) => task.startsWith('align'))).toEqual([]);
    expect(await sha256File(path('stopped/remedy.safetensors'))).toBe(await sha256File(path('rigorous/remedy.safetensors')));
    await expect(readdir(path('stopped/.work'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('the same command again returns it; anew it gives the same bytes', async () => {
    const { manifest } = await align(options('rigorous', { ...quick, controls: true }));
    expect(manifest.createdAt).toBe(remedy.manifest.createdAt);
    await align(options('anew', { ...quick, controls: true }));
    for (const file of ['remedy.safetensors', 'remedy.json', 'sae/blocks.1.hook_resid_post/sae_weights.safetensors'])
      expect(await sha256File(path(`anew/${file}`)), file).toBe(await sha256File(path(`rigorous/${file}`)));
  });
});

test('the paper profile: on means, chosen by r of the validation texts, several layers in one remedy', async () => {
  const { content } = await align(options('paper', { profile: 'paper', sae: [path(SAE), path('saes/L0-topk-w64-k6')] }));
  expect(content.sites.map(({ layer }) => layer)).toEqual([0, 1]);
  expect(content.arms).toHaveLength(1);
  for (const { alignment, features } of content.sites) {
    expect(alignment).toMatchObject({ pooling: 'mean', units: { z: 1, variance: 1 } });
    expect(alignment!.beside.probe.shuffled).toBeNull();
    for (const { reason } of features!) expect(reason).toMatch(/^(its \|r\| with|among the 50)/);
  }
  const remedy = await openRemedy(path('paper'));
  expect(remedy.interventions().map(({ site }) => site)).toEqual(['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post']);
  expect(() => remedy.interventions({ arm: 'unaligned' })).toThrow(/--controls/);
});

describe('random directions of the paper profile', () => {
  const controlled = async (activations: string) => {
    const name = `paper, controlled, ${activations}`;
    // Fewer than a user may ask for.
    const small = { shuffles: 1, directions: 2 };
    const given = options(name, { profile: 'paper', controls: true, activations: path(activations) });
    const { content } = await alignHere({ ...given, ...small });
    return { content, remedy: await openRemedy(path(name)) };
  };

  test("are as long as its mean change of last tokens' states, not of the means that it was aligned on", async () => {
    const { content, remedy } = await controlled('states');
    expect(content.sites[0].alignment!.pooling).toBe('mean');
    for (const mode of ['delta', 'blend'] as const) {
      expect(await randomOverOwn(remedy, mode, 'states', 'last')).toBeCloseTo(1, 4);
      expect(Math.abs((await randomOverOwn(remedy, mode, 'states', 'mean')) - 1)).toBeGreaterThan(0.01);
    }
    expect(content.notes.join()).not.toContain('Random directions');
  });

  test('are as long as that of the means where nothing else was captured, which is told', async () => {
    const { content, remedy } = await controlled('means');
    for (const mode of ['delta', 'blend'] as const) expect(await randomOverOwn(remedy, mode, 'means', 'mean')).toBeCloseTo(1, 4);
    expect(content.notes).toContainEqual(expect.stringMatching(/^Random directions .* of 'mean' states.*--pool last,mean/));
  });
});

test('a ReLU autoencoder stays one', async () => {
  const { sae } = await openSae(path(SAE));
  const { sae: jump } = await asJumpRelu(sae, await (await ActivationDirectory.open(path('states'))).read(1, 'last'));
  const { threshold: _, ...weights } = jump.weights;
  const relu = { spec: { ...jump.spec, architecture: 'relu' as const }, weights };
  await mkdir(path('relu'));
  await writeSaeLens(path('relu'), { sae: relu, origin: { site: { layer: 1, point: 'resid_post' } } });
  const { content } = await align(options('of-relu', { ...quick, sae: [path('relu')] }));
  const [{ alignment, sae: written }] = content.sites;
  expect(written).toMatchObject({ architecture: 'relu', width: WIDTH });
  expect(alignment!.thresholds).toBeNull();
  expect(alignment!.fidelity.converted).toEqual(alignment!.fidelity.original);
  const [{ change }] = (await openRemedy(path('of-relu'))).interventions();
  expect(change.mode === 'delta' && change.after.threshold).toBeUndefined();
});

describe('what is refused', () => {
  test.each([
    [
      'an autoencoder of another layer',
      { activations: 'lasts', sae: ['saes/L0-topk-w64-k6'] },
      'misuse',
      /blocks\.0\.hook_resid_post.*blocks\.1/,
    ],
    ['an autoencoder of another width', { sae: ['narrow'] }, 'misuse', /16 channels.*32/],
    ['an autoencoder of another model', { sae: ['foreign'] }, 'misuse', /ffffffffffff.*tiny-llama/],
    ['two of one layer', { sae: [SAE, SAE] }, 'misuse', /are both of blocks\.1/],
    ['another corpus', { corpus: 'noise' }, 'misuse', /not of noise/],
    [
      'states that the profile does not align on',
      { activations: 'lasts', profile: 'paper', permutations: undefined },
      'misuse',
      /no 'mean' states.*paper/,
    ],
    ['an option of the other profile', { profile: 'paper' }, 'misuse', /--permutations/],
    ['a corpus that is too small', { corpus: 'few', activations: 'few-states' }, 'bad-data', /texts/],
    [
      'a corpus that no latent follows',
      { corpus: 'noise', activations: 'noise-states', minEffect: 0.5 },
      'bad-data',
      /No latent at blocks\.1.*survives.*false discovery rate 0\.05, \|r\| at least 0\.5/,
    ],
  ])('%s', async (name, more: Record<string, unknown>, code, message) => {
    await prepareRefused();
    const located = Object.fromEntries(
      Object.entries(more).map(([key, value]) => {
        if (key === 'sae') return [key, (value as string[]).map(path)];
        return [key, ['activations', 'corpus'].includes(key) ? path(value as string) : value];
      }),
    );
    await expect(align(options(`refused: ${name}`, { ...quick, ...located }))).rejects.toMatchObject({ code, message });
  });

  test('is told with what to do about it', async () => {
    await expect(
      align(
        options('refused, with a fix', { ...quick, corpus: path('noise'), activations: path('noise-states'), minEffect: 0.5 }),
      ),
    ).rejects.toMatchObject({ fix: expect.stringContaining('larger corpus') });
  });
});

let prepared: Promise<void> | undefined;
function prepareRefused(): Promise<void> {
  prepared ??= (async () => {
    await writeForeignSaes(root);
  })();
  return prepared;
}
