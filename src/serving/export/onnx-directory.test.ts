import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/checkpoint.js';
import { realWeights } from '../../checkpoint/real-weights.test.support.js';
import { tokenizerFromDirectory } from '../../checkpoint/tokenizer-directory.js';
import { GraphSession, type GraphTensor } from '../../graph/session.js';
import { compileDecoder } from '../../model/compile.js';
import { DecoderSession } from '../../model/decoder-session.js';
import { DecodingSession } from '../../model/decoding-session.js';
import { mapDecoder } from '../../model/family.js';
import { headWidth } from '../../model/heads.js';
import { type Intervention, shapeOf } from '../../model/intervention.js';
import { centredError, KINDS, type Kind, randomChange, thresholdAmong } from '../../model/intervention.test.support.js';
import { formatSite } from '../../model/site.js';
import type { DecoderSpec } from '../../model/spec.js';
import type { TokenBatch } from '../../model/token-rows.js';
import { Random } from '../../random.js';
import { writeOnnxDirectory } from './onnx-directory.js';

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url));
const smollm2 = await realWeights('smollm2-135m');
let work: string;
let cache: string | undefined;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'moralscope-export-'));
});
afterAll(() => rm(work, { recursive: true }));

/** The texts, padded on the right. */
function padded(texts: readonly (readonly number[])[]): TokenBatch {
  const length = Math.max(...texts.map((ids) => ids.length));
  const ids = Int32Array.from(texts.flatMap((text) => [...text, ...new Array<number>(length - text.length).fill(0)]));
  return { ids, lengths: Int32Array.from(texts, (text) => text.length), batch: texts.length, length };
}

interface ReadOptions {
  /** Columns of each run. */
  parts: readonly number[];
  strength?: number;
  /** Position of a text's first token. */
  firstPosition?: number;
}

/** An exported model as others run it: texts padded on the left, read in parts with what earlier parts gave. */
class Exported {
  private constructor(
    private readonly session: GraphSession,
    private readonly spec: DecoderSpec,
  ) {}

  static async open(directory: string, spec: DecoderSpec): Promise<Exported> {
    return new Exported(await GraphSession.open(join(directory, 'onnx', 'model.onnx'), { threads: 1 }), spec);
  }

  get inputs(): readonly string[] {
    return this.session.inputs;
  }

  /** Logits after each token of each text, text by text. */
  async logits(
    texts: readonly (readonly number[])[],
    { parts, strength, firstPosition = 0 }: ReadOptions,
  ): Promise<Float32Array> {
    const { attention, vocabulary, layers } = this.spec;
    const total = Math.max(...texts.map((text) => text.length));
    expect(parts.reduce((a, b) => a + b)).toBe(total);
    const padding = texts.map((text) => total - text.length);
    const columns = (from: number, to: number, of: (text: number, column: number) => number): GraphTensor => ({
      data: BigInt64Array.from(
        texts.flatMap((_, text) => Array.from({ length: to - from }, (__, i) => BigInt(of(text, from + i)))),
      ),
      shape: [texts.length, to - from],
    });
    const none = [texts.length, attention.kvHeads, 0, headWidth(attention)];
    let past: Record<string, GraphTensor> = {};
    for (let layer = 0; layer < layers; layer++)
      for (const part of ['key', 'value']) past[`past_key_values.${layer}.${part}`] = { data: new Float32Array(0), shape: none };
    const found = texts.map((text) => new Float32Array(text.length * vocabulary));
    let from = 0;
    for (const part of parts) {
      const to = from + part;
      const feeds: Record<string, GraphTensor> = {
        ...past,
        input_ids: columns(from, to, (text, column) => (column < padding[text] ? 1 : texts[text][column - padding[text]])),
        attention_mask: columns(0, to, (text, column) => (column < padding[text] ? 0 : 1)),
        position_ids: columns(from, to, (text, column) => (column < padding[text] ? 1 : column - padding[text] + firstPosition)),
        ...(strength !== undefined && { strength: { data: Float32Array.of(strength), shape: [1] } }),
      };
      const results = await this.session.run(Object.fromEntries(this.inputs.map((name) => [name, feeds[name]])));
      const { logits } = results;
      expect(logits.shape).toEqual([texts.length, part, vocabulary]);
      for (const [text, own] of found.entries())
        for (let column = Math.max(from, padding[text]); column < to; column++) {
          const at = (text * part + column - from) * vocabulary;
          own.set((logits.data as Float32Array).subarray(at, at + vocabulary), (column - padding[text]) * vocabulary);
        }
      past = Object.fromEntries(Object.keys(past).map((name) => [name, results[name.replace('past_key_values', 'present')]]));
      expect(past['past_key_values.0.key'].shape).toEqual([texts.length, attention.kvHeads, to, headWidth(attention)]);
      from = to;
    }
    const all = new Float32Array(texts.flat().length * vocabulary);
    let done = 0;
    for (const own of found) {
      all.set(own, done);
      done += own.length;
    }
    return all;
  }

  close(): Promise<void> {
    return this.session.close();
  }
}

/** What our own session gives for the same. */
async function ownLogits(
  checkpoint: Checkpoint,
  texts: readonly (readonly number[])[],
  interventions: readonly Intervention[],
  strength: number,
): Promise<Float32Array> {
  const shapes = interventions.map(shapeOf);
  const compiled = await compileDecoder(checkpoint, { sites: [], logits: 'all', cache: true, interventions: shapes });
  const session = await DecodingSession.open(compiled, { threads: 1 });
  try {
    const batch = padded(texts);
    const { logits, place } = await session.prefill(session.cache(), batch, { interventions, strength });
    const { vocabulary } = compiled;
    const rows = texts.flatMap((text, i) => text.map((_, at) => place[i * batch.length + at]));
    const out = new Float32Array(rows.length * vocabulary);
    for (const [i, row] of rows.entries()) out.set(logits!.subarray(row * vocabulary, (row + 1) * vocabulary), i * vocabulary);
    return out;
  } finally {
    await session.close();
  }
}

/** A fixture with a tokenizer, of which it has none. */
async function tiny(family: string): Promise<Checkpoint> {
  const path = join(work, family);
  await cp(join(fixtures, `tiny-${family}`), path, { recursive: true });
  await cp(join(fixtures, 'tiny-llama', 'tokenizer.json'), join(path, 'tokenizer.json'));
  return openCheckpoint(path);
}

/** Longer than every window and chunk; two begin alike. */
const TEXTS = [
  [3, 8, 1, 12, 5, 2, 9, 14, 7, 11, 13, 4, 4, 10, 6, 1],
  [6, 4, 10],
  [3, 8, 1, 12, 5, 7, 4, 4, 15, 2, 6],
];
const PARTS = [12, 3, 1];

const FAMILIES: Readonly<Record<string, Kind>> = {
  llama: 'delta with thresholds',
  'llama-narrow': 'add',
  'llama3-rope': 'blend',
  mistral: 'project',
  gemma2: 'project with a ReLU',
  gemma3: 'delta',
  'gemma3-images': 'add',
  'gpt-neox': 'blend with thresholds',
  'gpt-oss': 'delta',
  gpt2: 'add',
  llama4: 'project',
  qwen2: 'blend',
  'qwen3-moe': 'add',
  smollm3: 'delta',
};

describe('a model in the layout of transformers.js', () => {
  beforeAll(() => {
    cache = process.env.MORALSCOPE_CACHE;
    process.env.MORALSCOPE_CACHE = join(work, 'cache');
  });
  afterAll(() => {
    if (cache === undefined) delete process.env.MORALSCOPE_CACHE;
    else process.env.MORALSCOPE_CACHE = cache;
  });

  test('every kind of change is tried', () => {
    expect(new Set(Object.values(FAMILIES))).toEqual(new Set(KINDS));
  });

  test.each(Object.entries(FAMILIES))('%s with %s: padded on the left, in parts, at any strength', async (family, kind) => {
    const checkpoint = await tiny(family);
    const { spec } = mapDecoder(checkpoint);
    const site = formatSite({ layer: 0, point: 'resid_post' });
    const below = await DecoderSession.open(await compileDecoder(checkpoint, { sites: [site] }), { threads: 1 });
    const sinkThreshold = thresholdAmong((await below.run(padded(TEXTS))).residuals[0], spec.hidden);
    await below.close();
    const change = randomChange(kind, spec.hidden, new Random(family.length));
    const interventions: Intervention[] = [{ site, change, positions: 'all', sinkThreshold }];
    const out = join(work, `${family}-out`);
    await writeOnnxDirectory(out, checkpoint, { interventions, strength: null });
    const model = await Exported.open(out, spec);
    const [steered, plain] = [await ownLogits(checkpoint, TEXTS, interventions, 0.7), await ownLogits(checkpoint, TEXTS, [], 0)];
    const worst = (found: Float32Array, own: Float32Array) => centredError(found, own, spec.vocabulary);
    expect(worst(plain, steered)).toBeGreaterThan(0.01);
    expect(worst(await model.logits(TEXTS, { parts: PARTS, strength: 0.7 }), steered)).toBeLessThan(1e-5);
    expect(worst(await model.logits(TEXTS, { parts: [16], strength: 0 }), plain)).toBeLessThan(1e-5);
    await model.close();
    await checkpoint.close();
  });

  test('positions may be counted from 1, and what is padding is never a first token', async () => {
    const checkpoint = await tiny('gemma3');
    const { spec } = mapDecoder(checkpoint);
    const change = randomChange('add', spec.hidden, new Random(5));
    const site = formatSite({ layer: 0, point: 'resid_post' });
    const interventions: Intervention[] = [{ site, change, positions: 'all', sinkThreshold: Number.POSITIVE_INFINITY }];
    const out = join(work, 'gemma3-from-1');
    await writeOnnxDirectory(out, checkpoint, { interventions, strength: 1 });
    const model = await Exported.open(out, spec);
    const steered = await ownLogits(checkpoint, TEXTS, interventions, 1);
    const found = await model.logits(TEXTS, { parts: PARTS, firstPosition: 1 });
    expect(centredError(found, steered, spec.vocabulary)).toBeLessThan(1e-5);
    await model.close();
    await checkpoint.close();
  });
});

test.skipIf(!smollm2)('SmolLM2 with a delta inside for good, and its tokenizer', async () => {
  const checkpoint = await openCheckpoint(smollm2!.path);
  const { spec } = mapDecoder(checkpoint);
  const change = randomChange('delta with thresholds', spec.hidden, new Random(1), { latents: 40 });
  const interventions: Intervention[] = [
    { site: formatSite({ layer: 10, point: 'resid_post' }), change, positions: 'all', sinkThreshold: 500 },
  ];
  const out = join(work, 'smollm2');
  await writeOnnxDirectory(out, checkpoint, { interventions, strength: 0.5 });
  const tokenizer = await tokenizerFromDirectory(out);
  const prompts = ['It is wrong to lie', 'Returning the wallet that I found is'];
  const texts = prompts.map((text) => [...tokenizer.encode(text)]);
  const own = await checkpoint.tokenizer();
  expect(texts).toEqual(prompts.map((text) => [...own.encode(text)]));
  const model = await Exported.open(out, spec);
  expect(model.inputs).not.toContain('strength');
  const found = await model.logits(texts, { parts: [texts[1].length - 1, 1] });
  const steered = await ownLogits(checkpoint, texts, interventions, 0.5);
  expect(centredError(found, steered, spec.vocabulary)).toBeLessThan(2e-5);
  expect(centredError(found, await ownLogits(checkpoint, texts, [], 0), spec.vocabulary)).toBeGreaterThan(0.01);
  await model.close();
  await checkpoint.close();
});
