import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { everySite, FAMILY_NAMES } from './families-golden.test.support.js';
import { type Intervention, shapeOf } from './intervention.js';
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
import type { TokenBatch } from './token-rows.js';

/** @file Interventions in every family's graph. */

let cacheDirectory: string;
beforeAll(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'decoder-graph-'));
  process.env.MORALSCOPE_CACHE = cacheDirectory;
});
afterAll(() => rm(cacheDirectory, { recursive: true }));

/** Texts of which no two begin alike. */
function texts(vocabulary: number): TokenBatch {
  const length = 8;
  const ids = Int32Array.from({ length: 3 * length }, (_, i) => (11 * i + 3 * Math.floor(i / length) + 2) % vocabulary);
  return { ids, lengths: Int32Array.of(8, 3, 6), batch: 3, length };
}

/** What a session of its own gives of a batch. */
async function run(
  model: TinyModel,
  sites: readonly string[],
  batch: TokenBatch,
  { given, at, steering }: { given?: Float32Array; at?: string; steering?: Intervention[] } = {},
): Promise<{ states: Float32Array[]; logits: Float32Array; first: number[] }> {
  const session = await model.session({ sites, logits: 'all', given: at, interventions: steering?.map(shapeOf) });
  const { residuals, logits, place } = await session.run(batch, {
    given,
    steering: steering && { interventions: steering, strength: 0.7 },
  });
  const found = { states: residuals.map((each) => each.slice()), logits: logits!.slice(), first: firstRows(place, batch) };
  await session.close();
  return found;
}

/** The rows of first tokens. */
const firstRows = (place: Int32Array, { batch, length }: TokenBatch) =>
  Array.from({ length: batch }, (_, text) => place[text * length]);

const intervention = (site: string, kind: Kind, hidden: number, sinkThreshold = Number.POSITIVE_INFINITY): Intervention => ({
  site,
  change: randomChange(kind, hidden, new Random(4, site, kind)),
  positions: 'all',
  sinkThreshold,
});

describe.each(Object.values(FAMILY_NAMES).flat())('%s', (family) => {
  test('without strength every state and every logit is that of the plain graph, bit for bit', async () => {
    const model = await TinyModel.open(family);
    const { layers, hidden, vocabulary } = model.spec;
    const sites = everySite(layers).map(formatSite);
    const batch = texts(vocabulary);
    const interventions = sites.map((site, i) => intervention(site, KINDS[i % KINDS.length], hidden));
    const session = await model.session({ sites, logits: 'all', interventions: interventions.map(shapeOf) });
    const plain = await run(model, sites, batch);
    for (const steering of [undefined, { interventions, strength: 0 }, { interventions, strength: new Float32Array(3) }]) {
      const { residuals, logits } = await session.run(batch, { steering });
      expect(logits).toEqual(plain.logits);
      expect(residuals).toEqual(plain.states);
    }
    await session.close();
    await model.close();
  });

  test('states after two interventions, and what follows from them, are those of the formulas', async () => {
    const model = await TinyModel.open(family);
    const { layers, hidden, vocabulary } = model.spec;
    const batch = texts(vocabulary);
    const lower = formatSite({ layer: 0, point: layers === 1 ? 'resid_pre' : 'resid_post' });
    const upper = formatSite({ layer: layers - 1, point: 'resid_post' });
    const turn = Object.values(FAMILY_NAMES).flat().indexOf(family);
    const plain = await run(model, [lower], batch);
    const steering = [lower, upper].map((site, i) => intervention(site, KINDS[(turn + i) % KINDS.length], hidden));
    const limit = thresholdAmong(plain.states[0], hidden);
    steering[0] = { ...steering[0], sinkThreshold: limit };
    const steered = await run(model, [lower, upper], batch, { steering });

    const strength = (row: number) => (plain.first.includes(row) ? 0 : 0.7);
    const low = steeredStates(plain.states[0], hidden, steering[0], strength);
    expect(centredError(steered.states[0], low, hidden)).toBeLessThan(1e-5);
    expect(centredError(plain.states[0], low, hidden)).toBeGreaterThan(1e-2);
    const between = await run(model, [upper], batch, { at: lower, given: Float32Array.from(low) });
    const high = steeredStates(between.states[0], hidden, steering[1], strength);
    expect(centredError(steered.states[1], high, hidden)).toBeLessThan(1e-5);
    expect(centredError(between.states[0], high, hidden)).toBeGreaterThan(1e-2);
    const after = await run(model, [], batch, { at: upper, given: Float32Array.from(high) });
    expect(centredError(steered.logits, after.logits, vocabulary)).toBeLessThan(1e-5);
    expect(centredError(plain.logits, after.logits, vocabulary)).toBeGreaterThan(1e-2);
    await model.close();
  });
});

describe.each(['gemma2', 'gpt-neox'])('%s', (family) => {
  test.each(KINDS)('%s at every site of a block', async (kind) => {
    const model = await TinyModel.open(family);
    const { hidden, vocabulary } = model.spec;
    const batch = texts(vocabulary);
    for (const point of ['resid_pre', 'attn_out', 'mlp_out', 'resid_post'] as const) {
      const site = formatSite({ layer: 1, point });
      const plain = await run(model, [site], batch);
      const steering = [intervention(site, kind, hidden)];
      const steered = await run(model, [site], batch, { steering });
      const strength = (row: number) => (plain.first.includes(row) ? 0 : 0.7);
      const expected = steeredStates(plain.states[0], hidden, steering[0], strength);
      expect(centredError(steered.states[0], expected, hidden)).toBeLessThan(1e-5);
      const after = await run(model, [], batch, { at: site, given: Float32Array.from(expected) });
      expect(centredError(steered.logits, after.logits, vocabulary)).toBeLessThan(1e-5);
      expect(centredError(plain.logits, after.logits, vocabulary)).toBeGreaterThan(1e-3);
    }
    await model.close();
  });
});
