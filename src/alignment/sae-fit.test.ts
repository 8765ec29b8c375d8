import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import type { Corpus } from '../moral/corpus.js';
import { Random } from '../random.js';
import { sparseAutoencoder } from '../sae/architecture.js';
import { SaeEncoder } from '../sae/encoder.js';
import { encode, reconstruct } from '../sae/forward.js';
import { correlations } from '../statistics/sparse-columns.js';
import { activationFigures } from './activation-figures.js';
import { type EncodedTexts, encodeTexts, judgmentsOf } from './aligned-texts.js';
import { changedStates } from './changed-states.js';
import { type ChosenLatents, chooseLike } from './chosen-latents.js';
import { withRows } from './chosen-rows.js';
import { MoralTargets } from './moral-targets.js';
import { activationsOf, changesOf, columnsOf, deltaOf, fitLatents } from './sae-fit.js';

/**
 * @file A planted toy: states hold the ten poles along ten directions and, three times as strong, nuisances that say nothing. Ten latents
 * read a pole together with a nuisance; forty read nuisances alone. What alignment has to find is which part to keep.
 */

const [D, LATENTS, TEXTS] = [32, 50, 900];
const LEVELS = [0.25, 0.5, 0.75, 1];

const random = new Random(11);
const unit = (axis: number) => Float64Array.from({ length: D }, (_, c) => Number(c === axis));

/** Texts of one foundation each: good, bad, or neither. */
const corpus: Corpus = (() => {
  const rows = {
    length: TEXTS,
    text: new Int32Array(TEXTS),
    annotation: new Int32Array(TEXTS),
    foundation: new Uint8Array(TEXTS),
    signed: new Float32Array(TEXTS),
  };
  for (let i = 0; i < TEXTS; i++) {
    rows.text[i] = rows.annotation[i] = i;
    rows.foundation[i] = i % 5;
    rows.signed[i] = [1, -1, 0][random.below(3)] * LEVELS[random.below(4)];
  }
  return { name: 'planted', authored: true, sha256: '', texts: Array.from({ length: TEXTS }, (_, i) => `text ${i}`), rows };
})();

const targets = MoralTargets.of(corpus);
const x = new Float32Array(TEXTS * D);
for (let i = 0; i < TEXTS; i++)
  for (let c = 0; c < D; c++) x[i * D + c] = (c < 10 ? 2 * targets.m[c][i] : 0) + (c < 10 ? 0.2 : 1) * random.normal();

const sae = (() => {
  const wEnc = new Float32Array(D * LATENTS);
  const wDec = new Float32Array(LATENTS * D);
  for (let f = 0; f < LATENTS; f++) {
    const [own, nuisance] = f < 10 ? [unit(f), unit(10 + f)] : [unit(10 + (f % 22)), unit(10 + ((7 * f + 3) % 22))];
    for (let c = 0; c < D; c++) {
      wEnc[c * LATENTS + f] = 0.7 * own[c] + 0.7 * nuisance[c];
      wDec[f * D + c] = wEnc[c * LATENTS + f];
    }
  }
  const bEnc = new Float32Array(LATENTS).fill(-0.1);
  return sparseAutoencoder(
    { architecture: 'jumprelu', dIn: D, width: LATENTS, applyDecoderBiasToInput: true, normalisation: 'none' },
    {
      wEnc,
      wDec,
      bEnc,
      bDec: Float32Array.from({ length: D }, () => 0.1 * random.normal()),
      threshold: new Float32Array(LATENTS).fill(0.05),
    },
  );
})();

const part = (from: number, to: number) => Int32Array.from({ length: to - from }, (_, i) => from + i);
const split = { train: part(0, 600), validation: part(600, 700), test: part(700, TEXTS) };
type Part = keyof typeof split;
const on = (of: Part) => targets.on(split[of]);
const statesOf = (of: Part) => x.subarray(split[of][0] * D, (split[of].at(-1)! + 1) * D);

let matmul: MatMul;
let texts: Record<Part, EncodedTexts>;
beforeAll(async () => {
  matmul = await MatMul.open(1);
  const encoder = await SaeEncoder.open(sae, 1);
  const encoded = (of: Part) => encodeTexts(encoder, statesOf(of), split[of].length);
  texts = { train: await encoded('train'), validation: await encoded('validation'), test: await encoded('test') };
  await encoder.close();
});
afterAll(() => matmul.close());

const latents = part(0, 10);
function chosen(): ChosenLatents {
  const r = correlations(columnsOf(texts.train), on('train').m).map((value) => value || 0);
  return { latents, r: r.slice(0, 100), because: Array.from(latents, (pole) => ({ pole, r: r[11 * pole], reason: 'planted' })) };
}

const settings = { epochs: 40, patience: 40, batch: 200, learningRate: 1e-2, weightDecay: 0.01, seed: 3, name: 'toy' };
const fitting = () => ({ train: texts.train, validation: texts.validation, states: statesOf('train') });
const judged = (profile: 'paper' | 'rigorous', from?: Record<'train' | 'validation', Int32Array>) => ({
  train: judgmentsOf(on('train'), profile, from?.train),
  validation: judgmentsOf(on('validation'), profile, from?.validation),
});

async function figures(fit: Awaited<ReturnType<typeof fitLatents>>) {
  const a = await activationsOf(fit, texts.test, matmul);
  return activationFigures(judgmentsOf(on('test'), 'rigorous'), a, { bootstraps: 100, seed: 0 });
}

describe('a planted toy', () => {
  test('alignment raises the held-out Spearman of a_d; fits to exchanged judgments do not', async () => {
    const fit = await fitLatents(sae, chosen(), fitting(), judged('rigorous'), matmul, { ...settings, profile: 'rigorous' });
    const { mean, perPole } = await figures(fit);
    expect(fit.bestEpoch).toBeGreaterThan(5);
    expect(mean.rise).toBeGreaterThan(0.1);
    expect(mean.ci95![0]).toBeGreaterThan(0.05);
    expect(mean.rise).toBeCloseTo(mean.after - mean.before, 12);
    expect(perPole.filter(({ before, after }) => after > before).length).toBeGreaterThanOrEqual(8);
    const shuffled = await Promise.all(
      [0, 1, 2, 3, 4].map(async (i) => {
        const from = (of: 'train' | 'validation') => on(of).exchanged('texts', new Random(9, of, i));
        const exchange = { train: from('train'), validation: from('validation') };
        const like = chooseLike(
          chosen(),
          columnsOf(texts.train),
          on('train').m.map((m) => Float32Array.from(exchange.train, (text) => m[text])),
          1,
        );
        expect(like.latents).toHaveLength(10);
        const own = await fitLatents(sae, like, fitting(), judged('rigorous', exchange), matmul, {
          ...settings,
          profile: 'rigorous',
          name: `toy ${i}`,
        });
        return (await figures(own)).mean;
      }),
    );
    for (const { after } of shuffled) expect(after).toBeLessThan(mean.before);
    expect(shuffled.reduce((sum, { rise }) => sum + rise, 0) / shuffled.length).toBeLessThan(0.05);
  });

  test.each(['rigorous', 'paper'] as const)('%s: the same seed gives the same bytes, another other ones', async (profile) => {
    const run = (seed: number) =>
      fitLatents(sae, chosen(), fitting(), judged(profile), matmul, { ...settings, profile, epochs: 3, seed });
    const [one, again, other] = [await run(3), await run(3), await run(4)];
    expect(again.rows).toEqual(one.rows);
    expect(again.curves).toEqual(one.curves);
    expect(other.rows).not.toEqual(one.rows);
    expect(one.curves.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3]);
  });
});

describe('what is changed', () => {
  test('only the rows of the chosen latents: every other parameter is the same, bit for bit', async () => {
    const some = Int32Array.of(2, 7, 31);
    const like = { ...chosen(), latents: some, r: Float64Array.from({ length: 30 }, (_, i) => (i % 11 === 0 ? 0.5 : -0.1)) };
    const fit = await fitLatents(sae, like, fitting(), judged('rigorous'), matmul, {
      ...settings,
      profile: 'rigorous',
      epochs: 5,
    });
    const after = withRows(sae, some, fit.rows);
    const bits = (values: Float32Array) => new Uint32Array(values.slice().buffer);
    const changed = (name: 'wEnc' | 'wDec' | 'bEnc', latentOf: (at: number) => number) => {
      const [was, is] = [bits(sae.weights[name]), bits(after.weights[name])];
      const found = new Set<number>();
      is.forEach((value, at) => {
        if (value !== was[at]) found.add(latentOf(at));
      });
      return [...found].sort((a, b) => a - b);
    };
    expect(changed('wEnc', (at) => at % LATENTS)).toEqual([2, 7, 31]);
    expect(changed('bEnc', (at) => at)).toEqual([2, 7, 31]);
    expect(changed('wDec', (at) => Math.floor(at / D))).toEqual([2, 7, 31]);
    expect(after.weights.bDec).toBe(sae.weights.bDec);
    expect(after.weights.threshold).toBe(sae.weights.threshold);
    expect(after.spec).toEqual(sae.spec);
  });

  test('delta is what the aligned autoencoder gives back minus what the one before does', async () => {
    const fit = await fitLatents(sae, chosen(), fitting(), judged('rigorous'), matmul, {
      ...settings,
      profile: 'rigorous',
      epochs: 10,
    });
    const n = split.test.length;
    const states = statesOf('test');
    const after = withRows(sae, latents, fit.rows);
    const was = reconstruct(sae, states, n);
    const expected = reconstruct(after, states, n).map((value, at) => value - was[at]);
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largest).toBeGreaterThan(0.1);
    const change = {
      site: 'blocks.0.hook_resid_post',
      change: deltaOf(sae, fit),
      positions: 'all',
      sinkThreshold: Number.POSITIVE_INFINITY,
    } as const;
    const formula = changedStates(states, D, change, 1).map((value, at) => value - states[at]);
    const quick = await changesOf(fit, texts.test, matmul);
    for (let at = 0; at < expected.length; at++) {
      expect(Math.abs(formula[at] - expected[at])).toBeLessThan(1e-5);
      expect(Math.abs(quick[at] - expected[at])).toBeLessThan(1e-5);
    }
    // Alignment leaves alone who competes with whom: the other latents are as active as before.
    const active = (of: typeof sae) => encode(of, states, n).latents.filter((latent) => latent >= 10).length;
    expect(active(after)).toBe(active(sae));
  });
});
