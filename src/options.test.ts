import { describe, expect, test } from 'vitest';
import { align } from './alignment/align.js';
import { AlignOptions } from './alignment/align-options.js';
import { screenFeatures } from './alignment/features.js';
import { FeaturesOptions } from './alignment/features-options.js';
import { verifyRemedy } from './evaluation/verify.js';
import { VerifyOptions } from './evaluation/verify-options.js';
import { parseOptions } from './options.js';
import { evaluateSae } from './sae/eval/evaluate.js';
import { EvalSaeOptions } from './sae/eval/options.js';
import { convertSae } from './sae/formats/convert-sae.js';
import { trainSaes } from './sae/train.js';
import { TrainSaeOptions } from './sae/train-options.js';
import { exportModel } from './serving/export/export-model.js';
import { GenerateFileOptions } from './serving/generate-options.js';

/** @file What the functions of the library do with options as their users give them. */

describe('a wrong value is named in a typed error', () => {
  const out = 'never-made';
  test.each([
    ['align', () => align({ kind: 'prompt', model: 'm', prompt: 'p', out, seed: 0.5 })],
    ['verifyRemedy', () => verifyRemedy({ model: 'm', remedy: 'r', out, seed: 0.5 })],
    ['trainSaes', () => trainSaes({ model: 'm', corpus: 'c', out, seed: 0.5 })],
    ['screenFeatures', () => screenFeatures({ sae: 's', activations: 'a', corpus: 'c', out, seed: 0.5 })],
    ['evaluateSae', () => evaluateSae('s', { activations: 'a', out, seed: 0.5 })],
    ['convertSae', () => convertSae('s', { out, k: 0.5 })],
    ['exportModel', () => exportModel({ model: 'm', out, strength: Number.NaN })],
  ])('%s', async (_, call) => {
    await expect(call()).rejects.toMatchObject({
      name: 'MoralscopeError',
      code: 'misuse',
      message: expect.stringMatching(/^(seed|k|strength): /),
    });
  });
});

test('what is left out has its default: nothing but files that are not there stands in the way', async () => {
  const out = 'never-made';
  await expect(align({ sae: ['none'], activations: 'none', corpus: 'none', out })).rejects.toMatchObject({ code: 'not-found' });
  await expect(verifyRemedy({ model: 'm', remedy: 'none', out })).rejects.toMatchObject({ code: 'not-found' });
  await expect(trainSaes({ activations: 'none', out })).rejects.toMatchObject({ code: 'not-found' });
});

test('what only goes with another option is refused without it', async () => {
  const refused = { code: 'misuse', message: expect.stringMatching(/^--[a-z-]+ (is of|and --epochs both)/) };
  const remedy = { sae: ['s'], activations: 'a', corpus: 'c', out: 'never-made' };
  await expect(align({ ...remedy, shuffles: 20 })).rejects.toMatchObject(refused);
  await expect(align({ ...remedy, directions: 60 })).rejects.toMatchObject(refused);
  const prompt = { kind: 'prompt', model: 'm', prompt: 'p', controls: true, out: 'never-made' } as const;
  await expect(align({ ...prompt, shuffles: 20 })).rejects.toMatchObject({ code: 'misuse' });
  await expect(trainSaes({ activations: 'a', tokens: 1000, epochs: 2, out: 'never-made' })).rejects.toMatchObject(refused);
  await expect(evaluateSae('s', { activations: 'a', text: 't', out: 'never-made' })).rejects.toMatchObject(refused);
  await expect(evaluateSae('s', { activations: 'a', maxTexts: 9, out: 'never-made' })).rejects.toMatchObject(refused);
});

test.each([
  [
    'align',
    AlignOptions,
    { kind: 'conva', activations: 'a', corpus: 'c', layers: '10,18', out: 'o', target: 0.8, controls: true, learningRate: 1e-4 },
  ],
  ['verify', VerifyOptions, { model: 'm', remedy: 'r', out: 'o', corpus: ['c'], strengths: ['0.5', '1'], threads: undefined }],
  ['sae train', TrainSaeOptions, { model: 'm', text: ['t'], out: 'o', width: ['48', '64'], k: ['4'], epochs: 2 }],
  ['features', FeaturesOptions, { sae: 's', activations: 'a', corpus: 'c', out: 'o', features: ['3', '17'] }],
  ['sae eval', EvalSaeOptions, { activations: 'a', out: 'o', maxStates: 500 }],
  ['generate', GenerateFileOptions, { model: 'm', prompts: 'p', out: 'o', remedy: 'r', layers: ['3'], stop: ['\n\n', ', '] }],
])('options of %s that were parsed are parsed again unchanged', (_, schema, given) => {
  const once = parseOptions(schema, given);
  expect(parseOptions(schema, once)).toStrictEqual(once);
});
