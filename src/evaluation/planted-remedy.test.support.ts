import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { capture } from '../activations/capture.js';
import { REMEDY_FORMAT, REMEDY_VERSION, writeRemedy } from '../alignment/remedy.js';
import type { Arm, RemedyContent } from '../alignment/remedy-schema.js';
import { tensorName } from '../alignment/remedy-tensors.js';
import { ArtifactDirectory } from '../artifact/directory.js';
import { openSafetensors, type SafetensorsTensor } from '../checkpoint/safetensors.js';
import { splitTexts } from '../diagnosis/split.js';
import { LanguageModel } from '../model/language-model.js';
import { readCorpus } from '../moral/read.js';
import { Random } from '../random.js';
import { labelledCorpus } from './labelled-texts.js';

/** @file A tiny model that has words for good and bad, and a remedy for it that is known to work. For tests, not part of the package. */

/** Of the tiny Llama of two blocks. */
export const PLANTED_SITE = 'blocks.1.hook_resid_post';
export const TEMPLATE = 'it is {action}';
const LAST = { good: ['g o', 'go o', 'goo d', 'Ġ good'], bad: ['b a', 'ba d', 'Ġ bad'] };

/** The fixture's random Llama, with ` good` and ` bad` among its tokens, of which it had none to spare. */
export async function modelWithWords(path: string): Promise<string> {
  await cp(fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url)), path, { recursive: true });
  const file = join(path, 'tokenizer.json');
  const tokenizer = JSON.parse(await readFile(file, 'utf8')) as { model: { vocab: Record<string, number>; merges: string[][] } };
  for (const merge of Object.values(LAST).flat()) {
    const parts = merge.split(' ');
    tokenizer.model.merges.push(parts);
    tokenizer.model.vocab[parts.join('')] = Object.keys(tokenizer.model.vocab).length;
  }
  await writeFile(file, JSON.stringify(tokenizer));
  return path;
}

export interface PlantedOptions {
  model: string;
  /** Whose training texts, as `align` splits them, it is fitted on. */
  corpus: string;
  out: string;
  /** How many controls; 0: made without. */
  shuffled: number;
  random: number;
  /** Pushes along nothing that the words are read from: the remedy moves states and says nothing. */
  idle?: boolean;
}

/**
 * x' = x + s (x - mean).w u: w is the difference of the means of good and bad training texts, in deviations, and u the difference of the rows
 * that the head has for ` good` and ` bad`, so that what the state knows is said. Shuffled controls have a random w, random ones a random u.
 */
export async function writePlantedRemedy({
  model: source,
  corpus: texts,
  out,
  shuffled,
  random,
  idle,
}: PlantedOptions): Promise<void> {
  const model = await LanguageModel.open(source);
  const { hidden, layers } = model.spec;
  const corpus = await readCorpus(texts);
  const activations = await capture({
    model,
    corpus,
    out: `${out}-states`,
    layers: [1],
    pools: ['last'],
    template: TEMPLATE,
    threads: 1,
  });
  const states = await activations.read(1, 'last');
  const labelled = labelledCorpus(corpus);
  const { valence, ids } = labelled;
  const train = splitTexts(ids.length, 0).train;
  const meanOf = (keep: (text: number) => boolean) => {
    const own = train.filter(keep);
    return Float64Array.from({ length: hidden }, (_, c) =>
      own.reduce((sum, text) => sum + states[ids[text] * hidden + c] / own.length, 0),
    );
  };
  const [mean, good, bad] = [meanOf(() => true), meanOf((text) => valence[text] > 0), meanOf((text) => valence[text] < 0)];
  const difference = good.map((value, c) => value - bad[c]);
  const file = await openSafetensors(join(source, 'model.safetensors'));
  const head = await file.read('lm_head.weight');
  await file.close();
  const row = (word: string) => {
    const [id] = model.tokenizer.encode(word, { addSpecialTokens: false });
    return head.subarray(id * hidden, (id + 1) * hidden);
  };
  const [yes, no] = [row(' good'), row(' bad')];
  const told = Float64Array.from(yes, (value, c) => value - no[c]);
  const norm = (vector: Float64Array) => Math.hypot(...vector);
  const scaled = (vector: Float64Array, to: number) => Float32Array.from(vector, (value) => (to * value) / norm(vector));
  const noise = (name: string, i: number) => {
    const draws = new Random(0, name, i);
    return Float64Array.from({ length: hidden }, () => draws.normal());
  };
  const size = norm(Float64Array.from(mean, (_, c) => states[ids[0] * hidden + c]));
  const tensors: Record<string, SafetensorsTensor> = {};
  const arms: Arm[] = [];
  const put = (arm: Arm, w: Float64Array, u: Float64Array) => {
    const reads = scaled(w, 1 / norm(difference));
    const b = -mean.reduce((sum, value, c) => sum + value * reads[c], 0);
    arms.push(arm);
    for (const [name, data] of Object.entries({ w: reads, b: Float32Array.of(b), u: scaled(u, size) }))
      tensors[tensorName(arm.name, PLANTED_SITE, name)] = { dtype: 'F32', shape: [data.length], data };
  };
  const modes: Arm['modes'] = ['project'];
  put({ name: 'remedy', kind: 'remedy', modes }, difference, idle ? new Float64Array(hidden).fill(1e-9) : told);
  for (let i = 0; i < shuffled; i++) put({ name: `shuffled-${i}`, kind: 'shuffled', modes, seed: 0 }, noise('w', i), told);
  for (let i = 0; i < random; i++)
    put({ name: `random-${i}`, kind: 'random', modes, seed: 0, sign: 1 }, difference, noise('u', i));
  if (idle) tensors[tensorName('remedy', PLANTED_SITE, 'u')] = { dtype: 'F32', shape: [hidden], data: new Float32Array(hidden) };
  const content: RemedyContent = {
    version: 1,
    kind: 'amplify',
    profile: 'rigorous',
    model: { name: model.name, sha256: model.sha256, tokenizer: model.tokenizer.sha256, hidden, layers, precision: 'fp32' },
    template: TEMPLATE,
    corpus: { name: corpus.name, authored: corpus.authored, sha256: corpus.sha256, pairs: false },
    seed: 0,
    sites: [{ site: PLANTED_SITE, layer: 1, sinkThreshold: 1e6, modes, gate: 'linear', evaluation: null }],
    arms,
    notes: [],
    summary: 'planted',
  };
  await model.close();
  const identity = {
    format: REMEDY_FORMAT,
    formatVersion: REMEDY_VERSION,
    seed: 0,
    options: { shuffled, random, idle },
    inputs: [],
  };
  const directory = await ArtifactDirectory.open(out, identity);
  const { texts: judged } = labelled;
  const { train: fitted, validation } = splitTexts(ids.length, 0);
  await writeRemedy(directory, { content, tensors, fittedTexts: [...fitted, ...validation].map((text) => judged[text]) });
  await directory.finish({});
}
