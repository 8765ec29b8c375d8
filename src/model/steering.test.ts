import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import type { DecoderSession } from './decoder-session.js';
import { type Change, type Intervention, type Latents, type Mode, POSITIONS, type Positions, shapeOf } from './intervention.js';
import {
  centredError,
  KINDS,
  type Kind,
  randomChange,
  steeredStates,
  TinyModel,
  thresholdAmong,
} from './intervention.test.support.js';
import { formatSite } from './site.js';
import type { Steering } from './steering.js';
import { type TokenBatch, takeRows } from './token-rows.js';

/** @file Which tokens are changed, and by how much: prompts, generated tokens, parts, texts that begin alike. */

let cacheDirectory: string;
beforeAll(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'steering-'));
  process.env.MORALSCOPE_CACHE = cacheDirectory;
});
afterAll(() => rm(cacheDirectory, { recursive: true }));

const FAMILIES = ['qwen3', 'gemma2', 'gpt-neox', 'gpt-oss'];

function padded(texts: readonly (readonly number[])[]): TokenBatch {
  const length = Math.max(...texts.map((ids) => ids.length));
  const ids = Int32Array.from(texts.flatMap((text) => [...text, ...new Array<number>(length - text.length).fill(0)]));
  return { ids, lengths: Int32Array.from(texts, (text) => text.length), batch: texts.length, length };
}

/** Texts of 10, 7 and 11 tokens, of which two begin alike, and how they are read: by parts, then by steps. */
const BEGINNING = [3, 8, 1, 12, 5];
const TEXTS = [
  [...BEGINNING, 2, 9, 14, 7, 11],
  [6, 4, 10, 13, 1, 3, 8],
  [...BEGINNING, 7, 4, 4, 15, 2, 6],
];
const PARTS = [
  [4, 2, 5],
  [3, 2, 3],
];
const STEPS = 3;

/** Which tokens a run changes that reads the texts so. */
const steered: Record<Positions, (token: number, text: number) => boolean> = {
  all: () => true,
  prompt: (token, text) => token < TEXTS[text].length - STEPS,
  generated: (token, text) => token >= TEXTS[text].length - STEPS,
  last: (token, text) => token === PARTS[0][text] - 1 || token >= TEXTS[text].length - STEPS - 1,
};

/** A session's states and logits of one text of a batch. */
interface Found {
  states: Float32Array;
  /** After these tokens. */
  logits: [token: number, logits: Float32Array][];
}

describe.each(FAMILIES)('%s', (family) => {
  let model: TinyModel;
  let hidden: number;
  let vocabulary: number;
  let site: string;
  let upper: string;
  /** The states at the site, and what becomes of states given there. */
  let below: DecoderSession;
  let above: DecoderSession;
  let sinkThreshold: number;

  beforeAll(async () => {
    model = await TinyModel.open(family);
    ({ hidden, vocabulary } = model.spec);
    site = formatSite({ layer: 0, point: 'resid_post' });
    upper = formatSite({ layer: model.spec.layers - 1, point: 'resid_post' });
    below = await model.session({ sites: [site] });
    above = await model.session({ sites: [upper], logits: 'all', given: site });
    sinkThreshold = thresholdAmong((await below.run(padded(TEXTS))).residuals[0], hidden);
  });
  afterAll(async () => {
    await below.close();
    await above.close();
    await model.close();
  });

  const interventionOf = (positions: Positions, kind: Kind, latents = 9): Intervention => ({
    site,
    change: randomChange(kind, hidden, new Random(3, kind), { latents }),
    positions,
    sinkThreshold,
  });

  /** The upper states and all logits of one text by itself, its states at the site changed by the formula. */
  async function byFormula(text: readonly number[], intervention: Intervention, strengthOf: (token: number) => number) {
    const batch = padded([text]);
    const states = (await below.run(batch)).residuals[0];
    const changed = steeredStates(states, hidden, intervention, (token) => (token === 0 ? 0 : strengthOf(token)));
    const { residuals, logits } = await above.run(batch, { given: Float32Array.from(changed) });
    return { states: residuals[0].slice(), logits: logits!.slice() };
  }

  /** What was found of each text is what the formula makes of it alone; and it makes a difference. */
  async function expectFormula(
    found: readonly Found[],
    texts: readonly (readonly number[])[],
    intervention: Intervention,
    strengthOf: (token: number, text: number) => number,
  ) {
    let difference = 0;
    for (const [text, ids] of texts.entries()) {
      const expected = await byFormula(ids, intervention, (token) => strengthOf(token, text));
      const without = await byFormula(ids, intervention, () => 0);
      const { states, logits } = found[text];
      difference = Math.max(difference, centredError(without.states, expected.states, hidden));
      expect(centredError(states, expected.states, hidden)).toBeLessThan(1e-5);
      for (const [token, each] of logits)
        expect(distance(each, expected.logits.subarray(token * vocabulary, (token + 1) * vocabulary))).toBeLessThan(1e-5);
    }
    expect(difference).toBeGreaterThan(1e-2);
  }

  test.each(POSITIONS)('read by parts and steps, positions %s', async (positions) => {
    // A ReLU may leave all of them as they are.
    const kind = KINDS[(3 * POSITIONS.indexOf(positions) + FAMILIES.indexOf(family)) % (KINDS.length - 1)];
    const intervention = interventionOf(positions, kind);
    const steering: Steering = { interventions: [intervention], strength: 0.8 };
    const session = await model.decoding({ sites: [upper], logits: 'last', interventions: [shapeOf(intervention)] });
    const cache = session.cache();
    const found = TEXTS.map((text): Found => ({ states: new Float32Array(text.length * hidden), logits: [] }));
    const done = TEXTS.map(() => 0);
    for (const counts of [...PARTS, ...new Array<number[]>(STEPS).fill([1, 1, 1])]) {
      const batch = padded(TEXTS.map((text, i) => text.slice(done[i], done[i] + counts[i])));
      const { residuals, logits, place } = await (batch.length === 1
        ? session.step(cache, batch.ids, steering)
        : session.prefill(cache, batch, steering));
      for (const [text, count] of counts.entries()) {
        const rows = place.subarray(text * batch.length, text * batch.length + count);
        found[text].states.set(takeRows(residuals[0], hidden, rows), done[text] * hidden);
        done[text] += count;
        found[text].logits.push([done[text] - 1, logits!.slice(text * vocabulary, (text + 1) * vocabulary)]);
      }
    }
    await session.close();
    await expectFormula(found, TEXTS, intervention, (token, text) => (steered[positions](token, text) ? 0.8 : 0));
  });

  describe('texts that begin alike', () => {
    const texts = [TEXTS[0], TEXTS[0], TEXTS[0].slice(0, 4), TEXTS[2], TEXTS[1], TEXTS[0].slice(0, 4)];
    const strengths = { 'one strength': 0.6, 'a strength each': Float32Array.of(0, 1, 1, 0.5, 0.5, 0) };

    test.each(
      (['all', 'last'] as const).flatMap((positions) => Object.entries(strengths).map((entry) => [positions, ...entry] as const)),
    )('%s, %s', async (positions, _, strength) => {
      const kind = KINDS[(FAMILIES.indexOf(family) + (positions === 'all' ? 0 : 4)) % (KINDS.length - 1)];
      const intervention = interventionOf(positions, kind);
      const options = { sites: [upper], interventions: [shapeOf(intervention)] };
      const whole = await model.session({ ...options, logits: 'all' });
      const decoding = await model.decoding({ ...options, logits: 'last' });
      const batch = padded(texts);
      const steering = { interventions: [intervention], strength };
      for (const session of [whole, decoding]) {
        const { residuals, logits, place } = await ('step' in session
          ? session.prefill(session.cache(), batch, steering)
          : session.run(batch, { steering }));
        const found = texts.map((ids, text): Found => {
          const rows = place.subarray(text * batch.length, text * batch.length + ids.length);
          const row = session === whole ? rows[ids.length - 1] : text;
          return {
            states: takeRows(residuals[0], hidden, rows),
            logits: [[ids.length - 1, logits!.slice(row * vocabulary, (row + 1) * vocabulary)]],
          };
        });
        await expectFormula(found, texts, intervention, (token, text) => {
          if (positions === 'last' && token < texts[text].length - 1) return 0;
          return typeof strength === 'number' ? strength : strength[text];
        });
        await session.close();
      }
    });
  });

  test('a delta is what separates a blend with the autoencoder after from one with it before', async () => {
    const random = new Random(9);
    const blend = randomChange('blend', hidden, random, { latents: 12 }) as Change & { mode: 'blend' };
    const chosen = [2, 5, 11];
    const before = blend.latents;
    const realigned = (randomChange('blend', hidden, random, { latents: 12 }) as Change & { mode: 'blend' }).latents;
    const after = withLatents(before, realigned, chosen);
    const changes: Change[] = [
      blend,
      { ...blend, latents: after },
      { mode: 'delta', centre: blend.centre, before: only(before, chosen), after: only(after, chosen) },
    ];
    const states: Float32Array[] = [];
    for (const change of changes) {
      const intervention: Intervention = { site, change, positions: 'all', sinkThreshold };
      const session = await model.session({ sites: [site], interventions: [shapeOf(intervention)] });
      const steering = { interventions: [intervention], strength: 0.7 };
      states.push((await session.run(padded(TEXTS), { steering })).residuals[0].slice());
      await session.close();
    }
    const unsteered = (await below.run(padded(TEXTS))).residuals[0];
    const [ofBefore, ofAfter, ofDelta] = states;
    const expected = unsteered.map((value, i) => value + ofAfter[i] - ofBefore[i]);
    expect(centredError(ofDelta, expected, hidden)).toBeLessThan(1e-5);
    expect(centredError(unsteered, expected, hidden)).toBeGreaterThan(1e-2);
  });

  test('one session serves interventions with any number of latents, and none', async () => {
    const session = await model.session({
      sites: [upper],
      logits: 'all',
      interventions: [shapeOf(interventionOf('all', 'delta'))],
    });
    const unsteered = (await session.run(padded([TEXTS[1]]))).residuals[0].slice();
    for (const latents of [1, 30, 4]) {
      const intervention = interventionOf('all', 'delta', latents);
      const steering = { interventions: [intervention], strength: 1 };
      const { residuals, place } = await session.run(padded([TEXTS[1]]), { steering });
      const found = { states: takeRows(residuals[0], hidden, place), logits: [] };
      await expectFormula([found], [TEXTS[1]], intervention, () => 1);
    }
    expect((await session.run(padded([TEXTS[1]]))).residuals[0]).toEqual(unsteered);
    await session.close();
  });
});

/** An autoencoder's latents, some of them those of another. */
function withLatents(a: Latents, b: Latents, chosen: readonly number[]): Latents {
  const count = a.bEnc.length;
  const hidden = a.wDec.length / count;
  const from = (latent: number) => (chosen.includes(latent) ? b : a);
  return {
    wEnc: a.wEnc.map((_, i) => from(i % count).wEnc[i]),
    bEnc: a.bEnc.map((_, i) => from(i).bEnc[i]),
    wDec: a.wDec.map((_, i) => from(Math.floor(i / hidden)).wDec[i]),
  };
}

/** Some of an autoencoder's latents. */
function only({ wEnc, bEnc, wDec }: Latents, chosen: readonly number[]): Latents {
  const count = bEnc.length;
  const hidden = wDec.length / count;
  return {
    wEnc: wEnc.filter((_, i) => chosen.includes(i % count)),
    bEnc: bEnc.filter((_, i) => chosen.includes(i)),
    wDec: wDec.filter((_, i) => chosen.includes(Math.floor(i / hidden))),
  };
}

/** |a - b| / |b - mean of b| */
function distance(a: Float32Array, b: Float32Array): number {
  const mean = b.reduce((sum, value) => sum + value, 0) / b.length;
  return Math.hypot(...a.map((value, i) => value - b[i])) / Math.hypot(...b.map((value) => value - mean));
}

describe('refused', () => {
  const hidden = 32;
  const site = 'blocks.1.hook_resid_post';
  const sound = (kind: Kind = 'delta'): Intervention => ({
    site,
    change: randomChange(kind, hidden, new Random(1)),
    positions: 'all',
    sinkThreshold: 10,
  });
  const delta = sound().change as Change & { mode: 'delta' };
  const project = sound('project').change as Change & { mode: 'project' };
  const batch = padded([[3, 4, 5], [6, 7]]); // biome-ignore format: texts
  let model: TinyModel;
  beforeAll(async () => {
    model = await TinyModel.open('llama');
  });
  afterAll(() => model.close());

  test.each([
    [['blocks.2.hook_resid_post'], 'the model has 2 layers, 0 to 1'],
    [['blocks.1.hook_resid_mid'], '"blocks.1.hook_resid_mid" is not a site'],
    [[site, 'blocks.0.hook_resid_post', site], `There are two interventions at ${site}`],
  ])('interventions at %j', async (sites, message) => {
    const interventions = sites.map((each) => shapeOf({ ...sound(), site: each }));
    const attempt = model.session({ logits: 'last', interventions });
    await expect(attempt).rejects.toMatchObject({ name: 'MoralscopeError', code: 'misuse' });
    await expect(attempt).rejects.toThrow(message);
  });

  test('what is no mode', async () => {
    const interventions = [{ ...shapeOf(sound()), mode: 'mix' as Mode }];
    const attempt = model.session({ logits: 'last', interventions });
    await expect(attempt).rejects.toMatchObject({ code: 'misuse', message: expect.stringContaining('is of mode mix') });
  });

  const one = new Float32Array(1);
  const wrong: [string, Steering, string][] = [
    ['a strength beyond the range', { interventions: [sound()], strength: 16.5 }, 'A strength of 16.5 for delta'],
    ['a strength below it', { interventions: [sound()], strength: Float32Array.of(1, -17) }, 'A strength of -17 for delta'],
    ['a strength that is not finite', { interventions: [sound()], strength: Number.NaN }, 'A strength of NaN'],
    ['no intervention', { interventions: [], strength: 1 }, `opened for delta at ${site}, and is given no intervention`],
    ['another mode', { interventions: [sound('add')], strength: 1 }, `given add at ${site}`],
    ['thresholds', { interventions: [sound('delta with thresholds')], strength: 1 }, `given delta with thresholds at ${site}`],
    [
      'another site',
      { interventions: [{ ...sound(), site: 'blocks.0.hook_resid_post' }], strength: 1 },
      'given delta at blocks.0.hook_resid_post',
    ],
    [
      'tensors of another width',
      { interventions: [{ ...sound(), change: { ...delta, centre: one } }], strength: 1 },
      `The intervention at ${site} has 1 numbers in centre, which is [32] in this model`,
    ],
    [
      'another number of latents after',
      {
        interventions: [
          { ...sound(), change: { ...delta, after: { wEnc: new Float32Array(32), bEnc: one, wDec: new Float32Array(32) } } },
        ],
        strength: 1,
      },
      '32 numbers in after.wEnc, which is [32, 9]',
    ],
    [
      'no latents',
      { interventions: [{ ...sound(), change: { ...delta, before: empty(), after: empty() } }], strength: 1 },
      '0 numbers in before.wEnc',
    ],
    [
      'numbers that are not finite',
      { interventions: [{ ...sound(), change: { ...delta, centre: delta.centre.with(3, Number.NaN) } }], strength: 0 },
      'numbers in centre that are not finite',
    ],
    ['a sink threshold', { interventions: [{ ...sound(), sinkThreshold: 0 }], strength: 1 }, 'a sink threshold of 0'],
    ['positions', { interventions: [{ ...sound(), positions: 'first' as Positions }], strength: 1 }, 'the positions first'],
  ];
  test.each(wrong)('%s', async (_, steering, message) => {
    const session = await model.session({ logits: 'last', interventions: [shapeOf(sound())] });
    const decoding = await model.decoding({ logits: 'last', interventions: [shapeOf(sound())] });
    const cache = decoding.cache();
    await decoding.prefill(cache, batch);
    for (const attempt of [
      session.run(batch, { steering }),
      decoding.prefill(decoding.cache(), batch, steering),
      decoding.step(cache, Int32Array.of(1, 2), steering),
    ]) {
      await expect(attempt).rejects.toMatchObject({
        name: 'MoralscopeError',
        code: 'misuse',
        message: expect.stringContaining(message),
      });
    }
    // What is refused is not half done.
    expect([...cache.lengths]).toEqual([3, 2]);
    await session.close();
    await decoding.close();
  });

  test('a blend or a projection beyond what makes sense', async () => {
    const blends = await model.session({ logits: 'last', interventions: [shapeOf(sound('blend'))] });
    for (const strength of [-0.1, 1.01, Number.POSITIVE_INFINITY])
      await expect(blends.run(batch, { steering: { interventions: [sound('blend')], strength } })).rejects.toMatchObject({
        code: 'misuse',
      });
    await blends.close();
    const gated: Intervention = { ...sound(), change: { ...project, gate: 'relu' } };
    const session = await model.session({ logits: 'last', interventions: [shapeOf(gated)] });
    await session.run(batch, { steering: { interventions: [gated], strength: -16 } });
    const linear = session.run(batch, { steering: { interventions: [{ ...sound(), change: project }], strength: 1 } });
    await expect(linear).rejects.toThrow(`opened for project with a ReLU at ${site}, and is given project at ${site}`);
    const infinite = { ...project, gate: 'relu', b: Number.NEGATIVE_INFINITY } as const;
    const attempt = session.run(batch, { steering: { interventions: [{ ...sound(), change: infinite }], strength: 1 } });
    await expect(attempt).rejects.toThrow('numbers in b that are not finite');
    await session.close();
  });

  test('strengths of another number of texts, and any of a decoder without interventions', async () => {
    const session = await model.session({ logits: 'last', interventions: [shapeOf(sound())] });
    const steering = { interventions: [sound()], strength: Float32Array.of(1) };
    await expect(session.run(batch, { steering })).rejects.toThrow(new RangeError('1 strengths for 2 texts'));
    await session.close();
    const plain = await model.session({ logits: 'last' });
    expect(plain.compiled.interventions).toEqual([]);
    await expect(plain.run(batch, { steering: { ...steering, strength: 1 } })).rejects.toThrow('opened for no intervention');
    await plain.close();
  });
});

function empty(): Latents {
  return { wEnc: new Float32Array(), bEnc: new Float32Array(), wDec: new Float32Array() };
}
