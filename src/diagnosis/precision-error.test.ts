import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { formatPrecisionError, LAYER_FIGURES, type PrecisionError } from '../activations/precision-error.js';
import { DEFAULT_TEMPLATE, fillTemplate } from '../activations/template.js';
import { DecoderSession } from '../model/decoder-session.js';
import { LanguageModel } from '../model/language-model.js';
import type { Precision } from '../model/precision.js';
import { precisionError } from './precision-error.js';
import { PROBE } from './probe-texts.js';

const tinyLlama = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));

let root: string;
let model: LanguageModel;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'precision-error-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  model = await LanguageModel.open(tinyLlama, { threads: 1 });
});
afterEach(async () => {
  await model.close();
  await rm(root, { recursive: true });
});

const kept = async (precision: Precision) =>
  join(
    dirname((await model.compile({ precision, logits: 'last' })).graph),
    `precision-error-${model.tokenizer.sha256.slice(0, 16)}.json`,
  );

test('says how far the states, the next token and the figures are from those of fp32', async () => {
  const [int8, int4] = [await precisionError(model, 'int8'), await precisionError(model, 'int4')];
  for (const { layers } of [int8, int4]) expect(layers.map(({ layer }) => layer)).toEqual([0, 1]);
  const bars = (error: PrecisionError) => error.layers.map(({ median }) => median);
  for (const error of bars(int8)) expect(error).toBeLessThan(0.03);
  bars(int4).forEach((error, layer) => {
    expect(error).toBeGreaterThan(5 * bars(int8)[layer]);
    expect(error).toBeLessThan(0.5);
  });
  for (const { layers } of [int8, int4]) for (const { median, worst } of layers) expect(worst).toBeGreaterThan(median);
  expect(int8.nextToken.meanKl).toBeGreaterThan(0);
  expect(int4.nextToken.meanKl).toBeGreaterThan(10 * int8.nextToken.meanKl);
  expect(int8.nextToken.worstKl).toBeGreaterThanOrEqual(int8.nextToken.meanKl);
  int8.layers.forEach(({ figures }, i) => {
    for (const figure of LAYER_FIGURES) {
      // fp32 is the same whatever it is held against.
      expect(figures[figure].fp32).toBe(int4.layers[i].figures[figure].fp32);
      expect(figures[figure].reduced).not.toBeNull();
    }
    const by = ({ layers }: PrecisionError, figure: (typeof LAYER_FIGURES)[number]) =>
      Math.abs(layers[i].figures[figure].reduced! - layers[i].figures[figure].fp32!);
    for (const figure of ['categorical.mean', 'gradient.detection', 'dimensional.r2', 'knows.auc'] as const) {
      expect(by(int8, figure)).toBeGreaterThan(0);
      expect(by(int8, figure)).toBeLessThan(0.05);
    }
    expect(by(int4, 'categorical.mean')).toBeGreaterThan(by(int8, 'categorical.mean'));
  });
  expect(formatPrecisionError(int8)).toMatch(
    /^int8 against fp32 on 130 probe texts: states off by \d.*; figures by, at the median layer \(at most\): opposed cosines 0\.0\d\d \(0\.0\d\d\), detection 0\.0/,
  );
});

test('finds nothing where nothing is reduced', async () => {
  const { layers, nextToken } = await precisionError(model, 'fp32' as 'int8');
  for (const { worst, figures } of layers) {
    expect(worst).toBeLessThan(1e-4);
    for (const figure of LAYER_FIGURES) expect(figures[figure].reduced).toBeCloseTo(figures[figure].fp32!, 4);
  }
  expect(nextToken.worstKl).toBeLessThan(1e-8);
});

test('has the cosines of the prototypes that the fp32 states give', async () => {
  const { layers } = await precisionError(model, 'int8');
  const session = await DecoderSession.open(await model.compile(), { threads: 1 });
  const { hidden } = model.spec;
  const states: Float64Array[][] = [[], []];
  for (const text of PROBE.texts) {
    const ids = Int32Array.from(model.tokenizer.encode(fillTemplate(DEFAULT_TEMPLATE, text)));
    const { residuals } = await session.run({ ids, lengths: Int32Array.of(ids.length), batch: 1, length: ids.length });
    residuals.forEach((all, layer) => {
      states[layer].push(Float64Array.from(all.subarray(-hidden)));
    });
  }
  await session.close();
  const { foundation, signed } = PROBE.rows;
  states.forEach((ofTexts, layer) => {
    const sum = (weight: (text: number) => number) =>
      ofTexts[0].map((_, i) => ofTexts.reduce((total, state, text) => total + weight(text) * state[i], 0));
    const centre = sum(() => 1 / ofTexts.length);
    const cosine = (a: Float64Array, b: Float64Array) =>
      a.reduce((total, v, i) => total + v * b[i], 0) / (Math.hypot(...a) * Math.hypot(...b));
    const opposed = [0, 1, 2, 3, 4].map((f) => {
      const [virtue, vice] = [1, -1].map((sign) => {
        const m = (text: number) => (foundation[text] === f ? Math.max(0, sign * signed[text]) : 0);
        const all = ofTexts.reduce((total, _, text) => total + m(text), 0);
        return sum(m).map((v, i) => v - all * centre[i]);
      });
      return cosine(virtue, vice);
    });
    expect(layers[layer].figures['categorical.mean'].fp32).toBeCloseTo(opposed.reduce((a, b) => a + b) / 5, 4);
  });
});

test('is measured once, and again when the kept one is of other texts, of an older form or damaged', async () => {
  const first = await precisionError(model, 'int8');
  const path = await kept('int8');
  const written = (await stat(path)).mtimeMs;
  expect(await precisionError(model, 'int8')).toEqual(first);
  expect((await stat(path)).mtimeMs).toBe(written);
  for (const text of [JSON.stringify({ ...first, probe: 'other' }), JSON.stringify({ ...first, version: 1 }), '{']) {
    await writeFile(path, text);
    expect(await precisionError(model, 'int8')).toEqual(first);
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(first);
  }
});
