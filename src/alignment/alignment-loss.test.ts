import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSafetensors } from '../checkpoint/safetensors.js';
import { MatMul } from '../graph/matmul.js';
import { POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { sparseAutoencoder } from '../sae/architecture.js';
import { SaeEncoder } from '../sae/encoder.js';
import { AdamW, oneCycle } from './adamw.js';
import { type AlignedTexts, encodeTexts, forLatents, type Judgments } from './aligned-texts.js';
import { AlignmentLoss, drawPairs, type Multiply, TERMS, type Term, type TextPair, type Units } from './alignment-loss.js';
import type { Profile } from './alignment-profile.js';
import { multiplyWith } from './alignment-training.js';
import { type ChosenRows, rowsOf, thresholdsOf } from './chosen-rows.js';
import { MoralMap } from './moral-map.js';

/** @file The loss against PyTorch's autograd (scripts/alignment_golden.py) and against finite differences. */

const GOLDEN = fileURLToPath(new URL('../../fixtures/alignment.golden.safetensors', import.meta.url));
const K = POLES.length;
const KEYS = { wEnc: 'encoder', bEnc: 'bias', wDec: 'decoder' } as const;

interface Case {
  profile: Profile;
  architecture: 'relu' | 'jumprelu';
  units: Units;
  values: Record<Term | 'total', number>[];
  cycle: { rate: number; beta1: number }[];
  peak: number;
}

interface Golden extends Case {
  of: (name: string) => Float32Array;
  latents: Int32Array;
  map: MoralMap;
  threshold: Float32Array | undefined;
  start: ChosenRows;
  batches: AlignedTexts[];
  pairs: TextPair[][];
  loss: (weights?: Partial<Record<Term, number>>) => Promise<AlignmentLoss>;
}

const cases = ['paper-relu', 'rigorous-jumprelu'] as const;
const goldens = new Map<string, Golden>();

let matmul: MatMul;

beforeAll(async () => {
  matmul = await MatMul.open(1);
  const file = await openSafetensors(GOLDEN);
  const tensors = new Map<string, Float32Array>();
  for (const name of file.names()) tensors.set(name, await file.read(name));
  const { d, width, n, steps } = JSON.parse(file.metadata.sizes) as Record<string, number>;
  const described = JSON.parse(file.metadata.cases) as Record<string, Case>;
  await file.close();
  for (const name of cases) {
    const given = described[name];
    const of = (key: string) => tensors.get(`${name}/${key}`)!;
    const { architecture, profile, units } = given;
    const weights = { wEnc: of('start/wEnc'), wDec: of('start/wDec'), bEnc: of('start/bEnc'), bDec: of('start/bDec') };
    const sae = sparseAutoencoder(
      { architecture, dIn: d, width, applyDecoderBiasToInput: true, normalisation: 'none' },
      { ...weights, ...(architecture === 'jumprelu' && { threshold: of('start/threshold') }) },
    );
    const latents = Int32Array.from(of('latents'));
    const map = new MoralMap(Float64Array.from(of('r')));
    const threshold = thresholdsOf(sae, latents);
    const encoder = await SaeEncoder.open(sae, 1);
    const batches: AlignedTexts[] = [];
    const pairs: TextPair[][] = [];
    for (let step = 0; step < steps; step++) {
      const x = of('x').subarray(step * n * d, (step + 1) * n * d);
      const m = of('m').subarray(step * n * K, (step + 1) * n * K);
      const tagged = Uint8Array.from(of('tagged').subarray(step * n * 5, (step + 1) * n * 5));
      const judged: Judgments = { n, m, tagged, largest: largestOf(m, tagged, n, profile) };
      batches.push(forLatents(await encodeTexts(encoder, x, n), latents, judged));
      const drawn = of(`pairs/${step}`);
      pairs.push(
        Array.from({ length: drawn.length / 3 }, (_, p) => {
          const [pole, i, j] = drawn.subarray(3 * p, 3 * p + 3);
          return { pole, i, j };
        }),
      );
    }
    await encoder.close();
    const start = rowsOf(sae, latents);
    const loss = async (own?: Partial<Record<Term, number>>) => {
      const made = new AlignmentLoss({ map, profile, width, threshold, units, ...(own && { weights: own }) });
      await made.fitScale(batches[0], start, plain);
      return made;
    };
    goldens.set(name, { ...given, of, latents, map, threshold, start, batches, pairs, loss });
  }
});

afterAll(() => matmul.close());

/** The dimension that L_mono takes for a text's, written down once more. */
function largestOf(m: Float32Array, tagged: Uint8Array, n: number, profile: Profile): Int8Array {
  return Int8Array.from({ length: n }, (_, i) => {
    const of = Array.from(m.subarray(i * K, (i + 1) * K));
    const first = of.indexOf(Math.max(...of));
    if (profile === 'paper') return first;
    const tags = tagged.subarray(i * 5, (i + 1) * 5).reduce((sum, tag) => sum + tag, 0);
    return tags === 1 && of[first] > 0 ? first : -1;
  });
}

/** Products in fp64. */
const plain: Multiply = async (a, b, { m, n, k, transposeA, transposeB }) => {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++)
      for (let c = 0; c < k; c++) out[i * n + j] += a[transposeA ? c * m + i : i * k + c] * b[transposeB ? j * k + c : c * n + j];
  return out;
};

const only = (term: Term) => Object.fromEntries(TERMS.map((name) => [name, Number(name === term)])) as Record<Term, number>;

/** The largest difference, over the largest expected value. */
function distance(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  const scale = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
  return Array.from(found).reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0) / scale;
}

describe.each(cases)('%s against PyTorch', (name) => {
  test('every term and the whole', async () => {
    const { batches, pairs, start, loss, values } = goldens.get(name)!;
    const made = await loss();
    const terms = await made.evaluate(batches[0], start, pairs[0], multiplyWith(matmul));
    for (const term of TERMS) expect(terms[term] / values[0][term], term).toBeCloseTo(1, 5);
    expect(made.total(terms) / values[0].total).toBeCloseTo(1, 5);
  });

  test.each(TERMS)('the gradient of %s alone, element by element', async (term) => {
    const { batches, pairs, start, loss, of } = goldens.get(name)!;
    const { gradient } = await (await loss(only(term))).differentiate(batches[0], start, pairs[0], multiplyWith(matmul));
    for (const [theirs, ours] of Object.entries(KEYS)) {
      const golden = of(`gradient/${term}/${theirs}`);
      const expected = ours === 'encoder' ? transposed(golden, start.bias.length) : golden;
      expect(distance(gradient[ours], expected), ours).toBeLessThan(1e-5);
      if (ours !== 'decoder' || term === 'rec') expect(expected.some((value) => value !== 0)).toBe(true);
    }
  });

  test('steps of AdamW on a one-cycle schedule', async () => {
    const { batches, pairs, start, loss, of, cycle, peak, values } = goldens.get(name)!;
    const rows: ChosenRows = { encoder: start.encoder.slice(), bias: start.bias.slice(), decoder: start.decoder.slice() };
    const made = await loss();
    const optimisers = {
      encoder: new AdamW(rows.encoder, 0.01),
      bias: new AdamW(rows.bias, 0.01),
      decoder: new AdamW(rows.decoder, 0.01),
    };
    for (const [step, batch] of batches.entries()) {
      const { terms, gradient } = await made.differentiate(batch, rows, pairs[step], multiplyWith(matmul));
      expect(made.total(terms) / values[step].total).toBeCloseTo(1, 5);
      const point = oneCycle(step, batches.length, peak);
      expect(point.rate).toBeCloseTo(cycle[step].rate, 9);
      expect(point.beta1).toBeCloseTo(cycle[step].beta1, 9);
      for (const key of ['encoder', 'bias', 'decoder'] as const) optimisers[key].take(gradient[key], point);
      for (const [theirs, ours] of Object.entries(KEYS)) {
        const golden = of(`after/${step}/${theirs}`);
        const expected = ours === 'encoder' ? transposed(golden, start.bias.length) : golden;
        expect(distance(rows[ours], expected), `${ours} after step ${step}`).toBeLessThan(2e-5);
      }
    }
    expect(distance(rows.encoder, start.encoder)).toBeGreaterThan(0.005);
  });
});

/** Both profiles differ where docs/paper.md says so: each term's slope in every parameter by central differences, in fp64. */
describe.each(cases)('%s against finite differences', (name) => {
  test.each(TERMS)('%s', async (term) => {
    const { batches, pairs, start, loss } = goldens.get(name)!;
    const made = await loss(only(term));
    const [batch, among] = [batches[1], pairs[1]];
    const rows = {
      encoder: Float64Array.from(start.encoder),
      bias: Float64Array.from(start.bias),
      decoder: Float64Array.from(start.decoder),
    };
    const value = async () => made.total(await made.evaluate(batch, rows, among, plain));
    const { gradient } = await made.differentiate(batch, rows, among, plain);
    const random = new Random(7, name, term);
    let checked = 0;
    for (const key of ['encoder', 'bias', 'decoder'] as const) {
      const scale = Float64Array.from(gradient[key]).reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      for (let draw = 0; draw < 12; draw++) {
        const at = random.below(rows[key].length);
        const before = rows[key][at];
        const step = 1e-6;
        rows[key][at] = before + step;
        const above = await value();
        rows[key][at] = before - step;
        const below = await value();
        rows[key][at] = before;
        const slope = (above - below) / (2 * step);
        expect(Math.abs(slope - gradient[key][at]), `${key} ${at}: ${slope}, ${gradient[key][at]}`).toBeLessThan(
          1e-4 * scale + 1e-7,
        );
        if (gradient[key][at] !== 0) checked++;
      }
    }
    expect(checked).toBeGreaterThan(8);
  });
});

function transposed(data: Float32Array, columns: number): Float32Array {
  const rows = data.length / columns;
  return Float32Array.from(data, (_, at) => data[(at % rows) * columns + Math.floor(at / rows)]);
}

describe('pairs', () => {
  const m = new Float32Array(6 * K);
  [0.5, 0.5, 0.25, 0, 0.5, 0].forEach((value, i) => {
    m[i * K + 3] = value;
  });
  const judged = { n: 6, m, tagged: new Uint8Array(30), largest: new Int8Array(6) };

  test('are of texts with m > 0 and no text with itself; tied ones are the paper’s alone', () => {
    const paper = drawPairs(judged, 'paper', new Random(1));
    expect(paper).toHaveLength(6);
    for (const { pole, i, j } of paper) {
      expect(pole).toBe(3);
      expect(i).not.toBe(j);
      expect(m[i * K + 3] * m[j * K + 3]).toBeGreaterThan(0);
    }
    expect(paper.some(({ i, j }) => m[i * K + 3] === m[j * K + 3])).toBe(true);
    const ours = drawPairs(judged, 'rigorous', new Random(1));
    expect(ours.length).toBeGreaterThan(0);
    for (const { i, j } of ours) expect(m[i * K + 3]).not.toBe(m[j * K + 3]);
  });
});
