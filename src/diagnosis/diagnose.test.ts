import { readdirSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MoralscopeError } from '../errors.js';
import { type DiagnoseOptions, diagnose } from './diagnose.js';
import { JudgedTexts } from './judged-texts.js';
import { randomCorpus, writeActivations } from './planted.test.support.js';
import { Diagnosis } from './schema.js';

/** @file `diagnose` on states whose signal is known: nothing at layers 0 and 2, valence at layer 1. */

const corpus = randomCorpus(150, 11);
const LAYERS = [{ valence: 0, topic: 3 }, { valence: 8, poles: 25 }, { valence: 0 }];
let root: string;
let activations: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'diagnose-'));
  activations = join(root, 'activations');
  await writeActivations(activations, { corpus, seed: 4, layers: LAYERS, readout: 1.5 });
});
afterAll(() => rm(root, { recursive: true, force: true }));

const run = (more: Partial<DiagnoseOptions> = {}) =>
  diagnose({ activations, corpus, permutations: 200, bootstraps: 100, threads: 2, ...more });

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable('it did not fail'),
    (error) => error as MoralscopeError,
  );

describe('planted signal', () => {
  let found: Diagnosis;
  beforeAll(async () => {
    found = await run();
  });
  const at = (layer: number) => found.poolings.last!.layers[layer];

  test('keeps to the schema, before and after JSON', () => {
    expect(Diagnosis.parse(found)).toEqual(found);
    expect(Diagnosis.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
    expect(Object.keys(found.poolings).sort()).toEqual(['content', 'last', 'mean']);
    for (const { layers } of Object.values(found.poolings)) expect(layers.map(({ layer }) => layer)).toEqual([0, 1, 2]);
  });

  test('counts texts, rows, poles and neutrals', () => {
    const m = JudgedTexts.of(corpus).moralVectors();
    expect(found.n).toMatchObject({ texts: 150, rows: corpus.rows.length });
    expect(found.n.perPole.harm).toBe(m.subarray(150, 300).filter((v) => v > 0).length);
    const neutral = Array.from({ length: 150 }, (_, i) => m[i] === 0 && m[150 + i] === 0).filter(Boolean).length;
    expect(found.n.neutrals['care-harm']).toBe(neutral);
  });

  test('every analysis finds it at its layer, in every pooling', () => {
    for (const { best, layers } of Object.values(found.poolings)) {
      for (const analysis of ['categorical', 'gradient', 'structural', 'dimensional'] as const) {
        expect(best[analysis].layer).toBe(1);
        expect(best[analysis].figure.p).toBeLessThan(0.05);
        expect(best[analysis].pMaximum).toBeCloseTo(1 / 201, 12);
        expect(best[analysis].figure.ci95).toHaveLength(2);
      }
      expect(layers[1].categorical.mean.value).toBeLessThan(-0.2);
      expect(layers[1].gradient.detection.value).toBeGreaterThan(0.4);
      expect(layers[1].structural.ari.polarity.value).toBeGreaterThan(0.1);
      expect(layers[1].knows.value).toBeGreaterThan(0.95);
    }
    expect(found.verdicts.map(({ outcome }) => outcome)).toEqual(Array(5).fill('apart'));
    expect(found.knows).toMatchObject({ layer: 1 });
    expect(found.readout.auc.value).toBeGreaterThan(0.85);
    expect(found.readout.bias.value).toBeCloseTo(0.7, 0);
  });

  test('layers without it read as their null, with power beside', () => {
    for (const layer of [0, 2]) {
      const { categorical, gradient, dimensional, knows, structural } = at(layer);
      for (const figure of [categorical.mean, gradient.detection, dimensional.r2, knows]) {
        expect(figure.p).toBeGreaterThan(0.01);
        expect(figure.ci95).toHaveLength(2);
        expect(figure.null!.q025).toBeLessThan(figure.null!.q975);
        expect(Number.isFinite(figure.detectable)).toBe(true);
      }
      expect(structural.ari.polarity.value).toBeLessThan(0.1);
    }
    // Topic without valence: opposed poles point the same way, and the null says that it is the topic.
    expect(at(0).categorical.mean.value).toBeGreaterThan(0.3);
    expect(at(0).categorical.mean.null!.mean).toBeGreaterThan(0.3);
  });

  test('what is said beside the analyses', () => {
    expect(at(1).sink).toMatchObject({ ratio: 5, firstComponent: expect.any(Number) });
    expect(at(1).sink.lengthShare).toBeLessThan(0.1);
    expect(at(1).sink.firstComponent!).toBeGreaterThan(at(2).sink.firstComponent!);
    // A constant of 1,000 beside unit noise: raw states all point one way.
    expect(at(2).anisotropy.raw).toBeGreaterThan(0.999);
    expect(Math.abs(at(2).anisotropy.centred!)).toBeLessThan(0.05);
    const { lengthRegressed, categorical } = at(1);
    expect(lengthRegressed.categorical.mean.value).toBeCloseTo(categorical.mean.value!, 1);
    expect(lengthRegressed.categorical.mean).toMatchObject({ p: expect.any(Number), null: expect.anything() });
    expect(lengthRegressed.categorical.mean.ci95).toBeUndefined();
    expect(found.map).toMatchObject({ pooling: 'last', layer: 1 });
    expect(found.map.points).toHaveLength(10);
  });

  test('typical actions are texts of their pole, the most typical first', () => {
    const { most, least } = found.typical;
    const m = JudgedTexts.of(corpus).moralVectors();
    for (const { text, pole, human, model } of [...most, ...least]) {
      const id = corpus.texts.indexOf(text);
      expect(m[Diagnosis.shape.typical.shape.most.element.shape.pole.options.indexOf(pole) * 150 + id]).toBe(human);
      expect(human).toBeGreaterThan(0);
      expect(Math.abs(model)).toBeLessThanOrEqual(1);
    }
    const care = [most, least].map((list) => list.filter(({ pole }) => pole === 'care').map(({ model }) => model));
    expect(Math.min(...care[0])).toBeGreaterThan(Math.max(...care[1]));
  });
});

describe('seeds and interruptions', () => {
  const pools = ['last'] as const;
  let json: string;
  beforeAll(async () => {
    json = JSON.stringify(await run({ pools, seed: 3 }));
  });

  test('the same seed gives the same JSON on any number of threads, another seed does not', async () => {
    expect(JSON.stringify(await run({ pools, seed: 3, threads: 1 }))).toBe(json);
    expect(JSON.stringify(await run({ pools, seed: 4 }))).not.toBe(json);
  });

  test('an interrupted run goes on from what it kept, to the same result', async () => {
    const workDirectory = join(root, 'kept');
    const stop = new AbortController();
    const error = await failure(
      run({
        pools,
        seed: 3,
        threads: 1,
        workDirectory,
        signal: stop.signal,
        onProgress: ({ done }) => {
          if (done === 2) stop.abort();
        },
      }),
    );
    expect(error).toMatchObject({ code: 'cancelled', fix: expect.stringContaining('again') });
    // Two layers were done; a third may have been under way.
    const done = (await readdir(workDirectory)).sort();
    expect(done.length).toBeGreaterThanOrEqual(2);
    expect(done.length).toBeLessThan(9);
    // Were the kept layer not used, this mark would not be seen again.
    const [layer] = done.filter((name) => name.startsWith('last-')).map((name) => Number(/\d+/.exec(name)![0]));
    const path = join(workDirectory, `last-${layer}.v8`);
    const kept = deserialize(await readFile(path)) as { result: { diagnosis: { sink: { ratio: number } } } };
    kept.result.diagnosis.sink.ratio = 77;
    await writeFile(path, serialize(kept));
    const resumed = await run({ pools, seed: 3, workDirectory });
    expect(resumed.poolings.last!.layers[layer].sink.ratio).toBe(77);
    resumed.poolings.last!.layers[layer].sink.ratio = 5;
    expect(JSON.stringify(resumed)).toBe(json);
  });

  test('what another seed kept is not taken up', async () => {
    const workDirectory = join(root, 'other');
    await run({ pools, seed: 4, workDirectory });
    expect(JSON.stringify(await run({ pools, seed: 3, workDirectory }))).toBe(json);
  });

  test('a run that is stopped before it begins does nothing', async () => {
    const workDirectory = join(root, 'never');
    expect(await failure(run({ workDirectory, signal: AbortSignal.abort() }))).toMatchObject({ code: 'cancelled' });
    expect(readdirSync(root)).not.toContain('never');
  });
});

describe('what is refused', () => {
  test('the activations of another corpus', async () => {
    const error = await failure(run({ corpus: randomCorpus(150, 12) }));
    expect(error.code).toBe('misuse');
    expect(error.message).toMatch(/states of the corpus planted \([0-9a-f]{12}\), not of planted/);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('a state of %s, naming layer, pooling and text', async (value) => {
    const out = join(root, `broken ${value}`);
    const edit = (layer: number, pooling: string, states: Float32Array) => {
      if (layer === 1 && pooling === 'mean') states[37 * 12 + 5] = value;
    };
    await writeActivations(out, { corpus, seed: 4, layers: LAYERS, edit });
    const error = await failure(run({ activations: out }));
    expect(error.code).toBe('bad-data');
    expect(error.message).toContain('layer 1, pooling mean');
    expect(error.message).toContain(`text 37 ("${corpus.texts[37]}")`);
    expect(error.message).toContain(String(value));
  });

  test('the text is named by its place in the corpus, also where others carry no judgment', async () => {
    const kept = Array.from(corpus.rows.text.keys()).filter((row) => corpus.rows.text[row] >= 20);
    const pick = <T extends Int32Array | Uint8Array | Float32Array>(values: T) => values.filter((_, i) => kept.includes(i)) as T;
    const { text, annotation, foundation, signed } = corpus.rows;
    const rows = {
      length: kept.length,
      text: pick(text),
      annotation: pick(annotation),
      foundation: pick(foundation),
      signed: pick(signed),
    };
    const out = join(root, 'unjudged');
    const edit = (_: number, __: string, states: Float32Array) => {
      states[3 * 12] = Number.NaN;
      states[37 * 12 + 5] = Number.NaN;
    };
    await writeActivations(out, { corpus, seed: 4, layers: [{ valence: 0 }], edit });
    const error = await failure(run({ activations: out, corpus: { ...corpus, rows } }));
    expect(error.message).toContain('text 37 ');
  });

  test('too few texts', async () => {
    const few = randomCorpus(40, 2);
    const out = join(root, 'few');
    await writeActivations(out, { corpus: few, seed: 4, layers: [{ valence: 1 }] });
    const error = await failure(run({ activations: out, corpus: few }));
    expect(error).toMatchObject({ code: 'bad-data', message: expect.stringContaining('40 judged texts') });
  });

  test('poolings that were not captured, and too few permutations', async () => {
    const out = join(root, 'content only');
    await writeActivations(out, { corpus, seed: 4, layers: [{ valence: 1 }], poolings: ['content'] });
    expect(await failure(run({ activations: out, pools: ['last', 'mean'] }))).toMatchObject({
      code: 'misuse',
      message: expect.stringContaining('holds no last and no mean states, only content'),
    });
    expect(await failure(run({ permutations: 50 }))).toMatchObject({
      code: 'misuse',
      message: expect.stringContaining('permutations'),
    });
  });
});

describe('poor corpora', () => {
  test('without a readout, without a pole, and with texts all of one length, the rest goes on', async () => {
    const poor = randomCorpus(60, 5);
    poor.texts = poor.texts.map((_, i) => `text${i}`);
    const { foundation, signed } = poor.rows;
    foundation.forEach((f, row) => {
      if (f === 2) signed[row] = -Math.abs(signed[row]);
      if (f === 4) signed[row] = 0;
    });
    const out = join(root, 'poor');
    await writeActivations(out, { corpus: poor, seed: 4, layers: [{ valence: 6 }], poolings: ['last'] });
    const found = await run({ activations: out, corpus: poor });
    expect(Diagnosis.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
    const [layer] = found.poolings.last!.layers;
    expect(layer.categorical.perFoundation['loyalty-betrayal'].cosine.why).toContain('loyalty');
    expect(layer.categorical.perFoundation['care-harm'].cosine.value).toBeLessThan(0);
    expect(found.readout.auc.why).toContain('without a readout');
    expect(found.map.points.map(({ pole }) => pole)).not.toContain('loyalty');
    expect(found.n.perPole.degradation).toBe(0);
    for (const { text } of found.verdicts) expect(text).not.toMatch(/NaN|undefined/);
    expect(found.summary).not.toMatch(/NaN|undefined/);
  });

  test('states that are all the same give no verdict and no NaN', async () => {
    const out = join(root, 'same');
    await writeActivations(out, {
      corpus,
      seed: 4,
      layers: [{ valence: 0 }],
      poolings: ['last'],
      edit: (_, __, states) => {
        states.forEach((_, i) => {
          states[i] = i % 12;
        });
      },
    });
    const found = await run({ activations: out });
    expect(Diagnosis.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
    expect(found.poolings.last!.layers[0].anisotropy).toEqual({ raw: expect.closeTo(1, 6), centred: null });
    expect(found.verdicts[0].outcome).toBe('empty');
    for (const { text } of found.verdicts) expect(text).not.toMatch(/NaN|undefined/);
  });

  test('judgments that are all neutral give no verdict and no NaN', async () => {
    const neutral = { ...corpus, rows: { ...corpus.rows, signed: new Float32Array(corpus.rows.length) } };
    const out = join(root, 'neutral');
    await writeActivations(out, { corpus: neutral, seed: 4, layers: [{ valence: 0 }], poolings: ['last'], readout: 1 });
    const found = await run({ activations: out, corpus: neutral });
    expect(Diagnosis.parse(JSON.parse(JSON.stringify(found)))).toEqual(found);
    expect(found.verdicts.map(({ outcome }) => outcome)).not.toContain('apart');
    for (const { text } of found.verdicts) expect(text).not.toMatch(/NaN|undefined/);
  });
});
