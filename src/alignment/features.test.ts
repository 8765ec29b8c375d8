import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../activations/capture.js';
import { ActivationDirectory } from '../activations/directory.js';
import { buildCorpus } from '../moral/build.js';
import { POLES } from '../moral/foundation.js';
import { readCorpus } from '../moral/read.js';
import { parseOptions } from '../options.js';
import { Random } from '../random.js';
import { writeForeignSaes } from '../sae/formats/foreign.test.support.js';
import { NeuronpediaBatch } from '../sae/formats/neuronpedia.js';
import { openSae } from '../sae/formats/open-sae.js';
import { encode } from '../sae/forward.js';
import { trainSaes } from '../sae/train.js';
import { TrainSaeOptions } from '../sae/train-options.js';
import { pearson } from '../statistics/ranks.js';
import { screenFeatures } from './features.js';
import { FeaturesOptions } from './features-options.js';
import { Features } from './features-schema.js';
import { MoralTargets } from './moral-targets.js';
import { halvesOf } from './screened-variables.js';

/** @file Latents of a random Llama of two blocks: from a corpus and training to features.json, and what is refused on the way. */

const MODEL = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
const TEXTS = 360;
const COLUMNS = ['rot-bad', 'm', 'rot-moral-foundations', 'action', 'action-moral-judgment', 'action-agree', 'rot-id'];

let root: string;
let sae: string;
const path = (name: string) => join(root, name);

/** Actions of one foundation each. Those that are good begin with a word of their own, so that a model can tell. */
function corpusLines(random: Random): string {
  const word = () => String.fromCharCode(...Array.from({ length: 2 + random.below(5) }, () => 97 + random.below(26)));
  const foundations = ['care-harm', 'fairness-cheating', 'loyalty-betrayal', 'authority-subversion', 'sanctity-degradation'];
  const lines = Array.from({ length: TEXTS }, (_, i) => {
    const judgment = [-2, 0, 2][i % 3];
    const end = judgment > 0 ? 'zzz' : judgment < 0 ? 'qqq' : 'the';
    const text = [...Array.from({ length: 2 + random.below(3) }, word), end].join(' ');
    return ['0', '1', foundations[Math.floor(i / 3) % 5], text, judgment, 4, `id${i}`].join('\t');
  });
  return [COLUMNS.join('\t'), ...lines].join('\n');
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'features-'));
  process.env.MORALSCOPE_CACHE = path('cache');
  await writeFile(path('corpus.tsv'), corpusLines(new Random(2)));
  await buildCorpus({ from: path('corpus.tsv'), out: path('corpus') });
  const corpus = await readCorpus(path('corpus'));
  const common = { model: MODEL, corpus, template: 'it is {action}', readout: false, threads: 1, layers: [0, 1] };
  await capture({ ...common, out: path('states'), pools: ['last', 'tokens'], shardBytes: 200_000 });
  await capture({ ...common, out: path('means'), pools: ['mean'] });
  const training = { activations: path('states'), out: path('saes'), layers: '1', states: 'last', width: [64], k: [6] };
  await trainSaes(parseOptions(TrainSaeOptions, { ...training, batch: 64, tokens: 64 * 60, learningRate: 3e-3, threads: 1 }));
  sae = path('saes/L1-topk-w64-k6');
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const options = (out: string, more: Record<string, unknown> = {}) =>
  parseOptions(FeaturesOptions, {
    sae,
    activations: path('states'),
    corpus: path('corpus'),
    out: path(out),
    permutations: 400,
    bootstraps: 100,
    threads: 1,
    ...more,
  });

describe('a random model', () => {
  let features: Features;
  beforeAll(async () => {
    ({ features } = await screenFeatures(options('out', { model: MODEL, features: ['3', '17'], actions: 4 })));
  });

  test('gives what features.json holds, by its schema', async () => {
    const stored = JSON.parse(await readFile(path('out/features.json'), 'utf8'));
    expect(Features.parse(stored)).toEqual(features);
    expect(features).toMatchObject({
      sae: { width: 64, dIn: 32, site: { layer: 1, point: 'resid_post' } },
      model: { name: 'tiny-llama' },
      folds: { texts: [TEXTS / 2, TEXTS / 2], crossFitted: true },
      notes: [],
    });
    const { paper, width } = features.readings.last.screening;
    expect(paper.weak + paper.mono + paper.poly).toBe(width);
    expect(features.readings.last.screening.l0).toBeCloseTo(6, 1);
    expect(features.peers.randomDirections.l0).toBeCloseTo(6, 1);
    expect(features.peers.channels.width).toBe(32);
    expect(features.readings.content!.density.states).toBeGreaterThan(features.readings.last.density.states);
  });

  test('describes what was asked for: z, r, cosine, neighbours by their definitions', async () => {
    const found = features.features.find(({ latent }) => latent === 17)!;
    expect(found.because).toContain('asked for');
    const { sae: opened } = await openSae(sae);
    const states = await (await ActivationDirectory.open(path('states'))).read(1, 'last');
    const corpus = await readCorpus(path('corpus'));
    const codes = encode(opened, states, TEXTS);
    const z = new Float32Array(TEXTS);
    for (let i = 0; i < TEXTS; i++)
      for (let e = codes.offsets[i]; e < codes.offsets[i + 1]; e++) if (codes.latents[e] === 17) z[i] = codes.values[e];
    const active = z.filter((value) => value > 0);
    expect(found.density.texts).toBeCloseTo(active.length / TEXTS, 6);
    expect(found.density.max).toBeCloseTo(Math.max(...z), 4);
    expect(found.density.histogram.reduce((sum, bin) => sum + bin.count, 0)).toBe(active.length);
    const order = [...z.keys()].sort((a, b) => z[b] - z[a]).slice(0, found.actions.length);
    expect(found.actions.map((action) => action.text)).toEqual(order.map((i) => corpus.texts[i]));
    found.actions.forEach((action, i) => {
      // Run once more through the model, token by token: the last token's z is the stored state's.
      expect(action.values!.at(-1)).toBeCloseTo(z[order[i]], 3);
      expect(action.values![0]).toBe(0);
      expect(action.tokens!.join('')).toContain(`it is ${action.text}`);
    });
    // On both folds where neither chose it, or each did: the mean of the two.
    const targets = MoralTargets.of(corpus);
    if (found.heldOut.folds.length === 2) {
      const { halves } = halvesOf(targets, 0);
      POLES.forEach((pole, k) => {
        const of = halves.map((half) =>
          pearson(
            Float32Array.from(half, (i) => z[i]),
            Float32Array.from(half, (i) => targets.m[k][i]),
          ),
        );
        if (found.perPole[pole] === null) expect(features.skipped[pole]).toMatch(/in a fold/);
        else expect(found.perPole[pole].r).toBeCloseTo((of[0] + of[1]) / 2, 6);
      });
    }
    const { wEnc, wDec } = opened.weights;
    const row = (j: number) => wDec.subarray(j * 32, (j + 1) * 32);
    const cosine = (a: ArrayLike<number>, b: ArrayLike<number>) => {
      const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => Array.from(x).reduce((sum, v, i) => sum + v * y[i], 0);
      return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    };
    const column = Float32Array.from({ length: 32 }, (_, c) => wEnc[c * 64 + 17]);
    expect(found.encoderDecoderCosine).toBeCloseTo(cosine(column, row(17)), 5);
    const all = Array.from({ length: 64 }, (_, j) => j).filter((j) => j !== 17);
    const nearest = all.sort((a, b) => cosine(row(b), row(17)) - cosine(row(a), row(17)));
    expect(found.neighbours.map(({ latent }) => latent)).toEqual(nearest.slice(0, found.neighbours.length));
    expect(found.neighbours[0].cosine).toBeCloseTo(cosine(row(nearest[0]), row(17)), 5);
  });

  test('is the same again, from the directory and anew', async () => {
    const events: unknown[] = [];
    const again = options('out', { model: MODEL, features: ['3', '17'], actions: 4 });
    const { features: stored } = await screenFeatures({ ...again, onProgress: (event) => events.push(event) });
    expect(stored).toEqual(features);
    expect(events.filter((event) => JSON.stringify(event).includes('screen'))).toEqual([]);
    const { features: anew } = await screenFeatures({ ...again, out: path('anew') });
    expect(anew).toEqual(features);
  });

  test('writes what Neuronpedia takes', async () => {
    const batch = NeuronpediaBatch.parse(JSON.parse(await readFile(path('out/neuronpedia/features-0.json'), 'utf8')));
    expect(batch).toMatchObject({ modelId: 'tiny-llama', source: '1-moralscope' });
    expect(batch.features.map(({ index }) => index)).toEqual(
      features.features.filter(({ actions }) => actions.length > 0).map(({ latent }) => latent),
    );
    expect(batch.features[0].topLogits).toHaveLength(10);
  });

  test('without the model there are actions without tokens, and it is said what is missing', async () => {
    const { features: bare } = await screenFeatures(options('bare', { features: ['3'], crossFit: 'never', minEffect: 0.95 }));
    expect(bare.readings.last.survivors).toEqual([]);
    expect(bare.summary).toMatch(
      /^No latent of 64 at blocks\.1\.hook_resid_post survives.*With 180 texts to judge on.*80% power/,
    );
    expect(bare.lens).toBeNull();
    expect(bare.notes.join()).toMatch(/--model/);
    expect(bare.folds.crossFitted).toBe(false);
    expect(bare.features.find(({ latent }) => latent === 3)!.actions.every(({ tokens }) => tokens === undefined)).toBe(true);
    await expect(readFile(path('bare/neuronpedia/features-0.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('stops when it is told to, and leaves no result', async () => {
    const stop = new AbortController();
    const onProgress = ({ task }: { task: string }) => {
      if (task.startsWith('screen')) stop.abort();
    };
    const stopped = screenFeatures({ ...options('stopped', { permutations: 100_000 }), onProgress, signal: stop.signal });
    await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
    await expect(readFile(path('stopped/features.json'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('what is refused', () => {
  test.each([
    ['states without the last token', { activations: 'means' }, 'misuse', /no 'last' states/],
    [
      'a site that was not captured',
      { site: 'blocks.1.hook_mlp_out' },
      'misuse',
      /blocks\.1\.hook_mlp_out.*blocks\.1\.hook_resid_post/,
    ],
    ['a latent that is not there', { features: ['64'] }, 'misuse', /Latent 64.*0 to 63/],
    ['an autoencoder that is not there', { sae: 'none' }, 'not-found', /none/],
    ['activations that are none', { activations: 'corpus' }, 'bad-file', /moralscope\.corpus/],
    ['another corpus', { corpus: 'other' }, 'misuse', /not of other/],
    ['another autoencoder', { sae: 'narrow' }, 'misuse', /16 channels.*32/],
    ['another model', { sae: 'foreign' }, 'misuse', /ffffffffffff.*tiny-llama/],
    ['too few texts of every pole', { corpus: 'few', activations: 'few-states' }, 'bad-data', /texts of care in a fold, and 10/],
  ])('%s', async (_, more, code, message) => {
    await prepareRefused();
    const located = Object.fromEntries(
      Object.entries(more).map(([key, value]) => [key, key === 'features' || key === 'site' ? value : path(value as string)]),
    );
    await expect(screenFeatures(options('refused', located))).rejects.toMatchObject({ code, message });
  });
});

let prepared: Promise<void> | undefined;
function prepareRefused(): Promise<void> {
  prepared ??= (async () => {
    const lines = corpusLines(new Random(3)).split('\n');
    await mkdir(path('tables'));
    await writeFile(path('tables/other.tsv'), lines.join('\n'));
    await writeFile(path('tables/few.tsv'), lines.slice(0, 60).join('\n'));
    for (const name of ['other', 'few']) await buildCorpus({ from: path(`tables/${name}.tsv`), out: path(name) });
    const few = await readCorpus(path('few'));
    await capture({
      model: MODEL,
      corpus: few,
      out: path('few-states'),
      pools: ['last'],
      readout: false,
      threads: 1,
      layers: [1],
    });
    await writeForeignSaes(root);
  })();
  return prepared;
}
