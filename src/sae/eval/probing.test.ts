import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../activations/capture.js';
import { ActivationDirectory } from '../../activations/directory.js';
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../../checkpoint/safetensors.js';
import { MatMul } from '../../graph/matmul.js';
import type { Corpus } from '../../moral/corpus.js';
import { POLES } from '../../moral/foundation.js';
import { Random } from '../../random.js';
import { sparseAutoencoder } from '../architecture.js';
import { SaeEncoder } from '../encoder.js';
import { encode } from '../forward.js';
import { D, MODEL, numberOf } from './golden.test.support.js';
import { contentView, sparseProbing } from './probing.js';
import { bestColumns, denseRepresentation, sparseRepresentation } from './representation.js';
import type { Probing } from './schema.js';

/** @file Probes for what was planted into states of a random Llama, where nothing else is moral. */

const TEXTS = 360;
/** Texts alternate between loyalty, betrayal and neither; every fifth is of care, none of its poles ever judged bad. */
const signedOf = (text: number) => [0.5, -0.5, 0][text % 3];
const [PLANTED, OTHER] = [23, 41];
const WIDTH = 60;

let root: string;
let corpus: Corpus;
let probed: Probing[];
let matmul: MatMul;
let encoder: SaeEncoder;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'probing-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  const random = new Random(6);
  const word = () => Array.from({ length: 1 + random.below(5) }, () => 'etaoinshrdlu'[random.below(12)]).join('');
  const texts = Array.from({ length: TEXTS }, (_, i) => `${word()} ${word()} ${word()} ${i.toString(36)}`);
  const rows = Array.from({ length: TEXTS }, (_, text) => [
    { text, foundation: 2, signed: signedOf(text) },
    ...(text % 5 === 0 ? [{ text, foundation: 0, signed: 0.5 }] : []),
  ]).flat();
  corpus = {
    name: 'planted',
    authored: true,
    sha256: 'b'.repeat(64),
    texts,
    rows: {
      length: rows.length,
      text: Int32Array.from(rows, (r) => r.text),
      annotation: Int32Array.from(rows, (r) => r.text),
      foundation: Uint8Array.from(rows, (r) => r.foundation),
      signed: Float32Array.from(rows, (r) => r.signed),
    },
  };
  const out = join(root, 'states');
  await capture({
    model: MODEL,
    corpus,
    out,
    layers: [0],
    pools: ['last', 'tokens'],
    readout: false,
    threads: 1,
    shardBytes: 100_000,
  });
  await plant(out, random);
  matmul = await MatMul.open(1);
  encoder = await SaeEncoder.open(autoencoder(random), 1);
  const directory = await ActivationDirectory.open(out);
  expect(directory.shardCount).toBeGreaterThan(2);
  probed = await sparseProbing({ directory, corpus, layer: 0, encoder, bootstraps: 100, seed: 4 }, matmul);
});
afterAll(async () => {
  await encoder.close();
  await matmul.close();
  await rm(root, { recursive: true, force: true });
});

let direction: Float64Array;

/** Noise in place of every state, more of it where tokens are averaged, and a direction that says betrayal: no channel alone says it as well. */
async function plant(out: string, random: Random): Promise<void> {
  direction = Float64Array.from({ length: D }, () => random.normal());
  const norm = Math.hypot(...direction);
  direction = direction.map((value) => value / norm);
  const { details } = JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8'));
  for (const { file: name } of details.shards as { file: string }[]) {
    const path = join(out, name);
    const file = await openSafetensors(path);
    const tensors: Record<string, SafetensorsTensor> = {};
    for (const key of file.names()) tensors[key] = await file.readTyped(key);
    await file.close();
    const [row, offsets] = ['row', 'offsets'].map((key) => Array.from(tensors[key].data as ArrayLike<number | bigint>, Number));
    const planted = (text: number, tokens = 1) =>
      Float32Array.from(direction, (u) => 0.25 * Math.sqrt(tokens) * random.normal() + (signedOf(text) < 0 ? 0.6 * u : 0));
    for (const [key, tensor] of Object.entries(tensors)) {
      const data = tensor.data as Float32Array;
      if (key.endsWith('/last')) for (const [i, text] of row.entries()) data.set(planted(text), i * D);
      if (key.endsWith('/tokens'))
        for (const [i, text] of row.entries())
          for (let token = offsets[i]; token < offsets[i + 1]; token++) {
            // What a sink says is not heard.
            const sink = token === offsets[i] ? 1000 * random.normal() : 0;
            data.set(
              planted(text, offsets[i + 1] - offsets[i] - 1).map((value, c) => value + sink * direction[c]),
              token * D,
            );
          }
    }
    await writeSafetensors(path, tensors);
  }
}

/** Random latents, one that reads the direction, and one that reads its opposite. */
function autoencoder(random: Random) {
  const wEnc = Float32Array.from({ length: D * WIDTH }, () => 0.2 * random.normal());
  for (let c = 0; c < D; c++) {
    wEnc[c * WIDTH + PLANTED] = direction[c];
    wEnc[c * WIDTH + OTHER] = -direction[c];
  }
  const bEnc = new Float32Array(WIDTH);
  bEnc[PLANTED] = -0.1;
  const wDec = Float32Array.from({ length: D * WIDTH }, () => random.normal());
  return sparseAutoencoder(
    { architecture: 'relu', dIn: D, width: WIDTH, applyDecoderBiasToInput: false, normalisation: 'none' },
    { wEnc, wDec, bEnc, bDec: new Float32Array(D) },
  );
}

describe.each([0, 1])('sparse probing, view %i', (view) => {
  test('finds the planted latent, which alone tells what a channel does not', () => {
    const { states, perPole } = probed[view];
    expect(states).toBe(['last', 'content'][view]);
    const { chosen, latents, channels, residual } = perPole.betrayal;
    expect(chosen[0]).toBe(PLANTED);
    expect(chosen.length).toBe(10);
    expect(numberOf(latents[1])).toBeGreaterThan(0.85);
    expect(numberOf(channels[1])).toBeLessThan(numberOf(latents[1]) - 0.05);
    expect(numberOf(residual)).toBeGreaterThan(0.85);
    const [low, high] = latents[5].ci95!;
    expect(low).toBeLessThanOrEqual(numberOf(latents[5]));
    expect(high).toBeGreaterThanOrEqual(numberOf(latents[5]));
    expect(high - low).toBeGreaterThan(0);
  });

  test('counts texts of the foundation, each on one side', () => {
    const { train, test: held } = probed[view].perPole.betrayal;
    expect(train.positive + train.negative).toBe(Math.round(0.7 * TEXTS));
    expect(held.positive + held.negative).toBe(TEXTS - Math.round(0.8 * TEXTS));
    expect(train.positive).toBeLessThan(train.negative);
  });

  test('says why a cell is empty', () => {
    const { care, harm, fairness } = probed[view].perPole;
    expect(care.latents[1]).toEqual({
      value: null,
      why: expect.stringMatching(/^\d+ of the train texts have the pole and 0 have not; 20/),
    });
    expect(harm.residual.value).toBeNull();
    expect(fairness.channels[10].why).toMatch(/^0 of the train texts/);
    expect(fairness.chosen).toEqual([]);
  });

  test('has the mean over the poles that have a value', () => {
    const { perPole, mean } = probed[view];
    const values = POLES.flatMap((pole) => perPole[pole].latents[2].value ?? []);
    expect(values.length).toBe(2);
    expect(numberOf(mean.latents[2])).toBeCloseTo((values[0] + values[1]) / 2, 12);
  });
});

test('states of another corpus are refused, and so are those that hold neither last nor tokens', async () => {
  const out = join(root, 'means');
  await capture({ model: MODEL, corpus, out, layers: [0], pools: ['mean'], readout: false, threads: 1 });
  const directory = await ActivationDirectory.open(out);
  await expect(sparseProbing({ directory, corpus, layer: 0, encoder, bootstraps: 100, seed: 4 }, matmul)).rejects.toMatchObject({
    code: 'misuse',
    message: expect.stringContaining('holds mean; sparse probing needs last or tokens'),
  });
});

test('the content view is the mean over content tokens, of states and of latents', async () => {
  const out = join(root, 'content');
  await capture({
    model: MODEL,
    corpus,
    out,
    layers: [0],
    pools: ['content', 'tokens'],
    readout: false,
    threads: 1,
    shardBytes: 100_000,
  });
  const directory = await ActivationDirectory.open(out);
  const ids = Int32Array.of(3, 100, 211);
  const { residual, codes } = await contentView(directory, 0, encoder, ids);
  const pooled = await directory.read(0, 'content');
  ids.forEach((id, i) => {
    for (let c = 0; c < D; c++) expect(residual.data[i * D + c]).toBeCloseTo(pooled[id * D + c], 5);
  });
  const shard = Array.from({ length: directory.shardCount }, (_, s) => s).find((s) => directory.shardRows(s).includes(100))!;
  const { rows, offsets, states } = await directory.tokenStates(0, shard);
  const at = rows.indexOf(100);
  const z = new Float64Array(WIDTH);
  const norm = (token: number) => Math.hypot(...states.subarray(token * D, (token + 1) * D));
  const tokens = Array.from({ length: offsets[at + 1] - offsets[at] - 1 }, (_, t) => offsets[at] + 1 + t);
  const content = tokens.filter((token) => norm(token) <= directory.details.calibration[0].threshold);
  for (const token of content) {
    const { latents, values } = encode(encoder.sae, states.slice(token * D, (token + 1) * D), 1);
    latents.forEach((latent, e) => {
      z[latent] += values[e] / content.length;
    });
  }
  const found = new Float64Array(WIDTH);
  for (let e = codes.offsets[1]; e < codes.offsets[2]; e++) found[codes.latents[e]] = codes.values[e];
  for (let latent = 0; latent < WIDTH; latent++) expect(found[latent]).toBeCloseTo(z[latent], 5);
  expect(Math.max(...z)).toBeGreaterThan(0.1);
});

test('columns are chosen by the standardised difference of means, alike for dense and sparse rows', () => {
  const random = new Random(8);
  const [n, width] = [40, 6];
  // Column 2 differs most for its spread, column 4 most in itself, column 5 never.
  const x = Float32Array.from({ length: n * width }, (_, at) => {
    const [label, c] = [Math.floor(at / width) % 2, at % width];
    if (c === 2) return 1 + label + 0.2 * random.uniform();
    if (c === 4) return 20 + 5 * label + 10 * random.uniform();
    return c === 5 ? 7 : 1 + random.uniform();
  });
  const sae = sparseAutoencoder(
    { architecture: 'relu', dIn: width, width, applyDecoderBiasToInput: false, normalisation: 'none' },
    {
      wEnc: Float32Array.from({ length: width * width }, (_, at) => Number(at % (width + 1) === 0)),
      wDec: new Float32Array(width * width),
      bEnc: new Float32Array(width),
      bDec: new Float32Array(width),
    },
  );
  const dense = denseRepresentation({ n, d: width, data: x });
  const sparse = sparseRepresentation(encode(sae, x, n), width);
  const part = (label: number) => Int32Array.from({ length: n / 2 }, (_, i) => 2 * i + label);
  const chosen = bestColumns(dense, part(1), part(0), 10);
  expect(chosen.slice(0, 2)).toEqual([2, 4]);
  expect(chosen).not.toContain(5);
  expect(bestColumns(sparse, part(1), part(0), 10)).toEqual(chosen);
  expect(sparse.columns(part(1), chosen)).toEqual(dense.columns(part(1), chosen));
});

test('a constant a thousand times the spread hides no difference', async () => {
  const data = Float32Array.from({ length: 200 * 2 }, (_, at) =>
    at % 2 ? 30_000 + (Math.floor(at / 2) % 2) * 0.5 : (at * 7) % 5,
  );
  const part = (label: number) => Int32Array.from({ length: 100 }, (_, i) => 2 * i + label);
  expect(bestColumns(denseRepresentation({ n: 200, d: 2, data }), part(1), part(0), 1)).toEqual([1]);
});
