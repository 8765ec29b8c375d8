import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TokenisedTexts } from '../activations/batches.js';
import type { Intervention } from '../model/intervention.js';
import { shapeOf } from '../model/intervention.js';
import { randomChange, steeredStates, TinyModel } from '../model/intervention.test.support.js';
import { logSumExp } from '../model/log-sum-exp.js';
import { formatSite } from '../model/site.js';
import type { Steering } from '../model/steering.js';
import { Random } from '../random.js';
import { damage } from './damage.js';
import { prompted, promptedReadout } from './prompted-texts.js';
import { steeredReadout } from './steered-readout.js';
import { SteeredSession } from './steered-sessions.js';

/** @file What is read of a steered model and what steering costs, against the formulas computed outside: states changed by hand, blocks above run on them. */

const SITE = formatSite({ layer: 0, point: 'resid_post' });
/** Virtue first. */
const PAIRS: [number, number][] = [
  [9, 2],
  [14, 5],
];
const WORDS = [...new Set(PAIRS.flat())];
const INDICES = PAIRS.map(([a, b]) => [WORDS.indexOf(a), WORDS.indexOf(b)] as const);
/** Two begin alike, one is the beginning of another, one is a single token. */
const TEXTS = [[3, 8, 1, 12, 5, 2], [3, 8, 1, 7], [3, 8, 1], [4], [6, 4, 10, 13, 1]];
const TOKENS: TokenisedTexts = {
  ids: Int32Array.from(TEXTS.flat()),
  offsets: Int32Array.from([0, ...TEXTS.map((_, i) => TEXTS.slice(0, i + 1).flat().length)]),
  truncated: 0,
};

let model: TinyModel;
let cacheDirectory: string;
let change: Intervention['change'];
beforeAll(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'steered-readout-'));
  process.env.MORALSCOPE_CACHE = cacheDirectory;
  model = await TinyModel.open('qwen3');
  change = randomChange('project', model.spec.hidden, new Random(0, 'change'));
});
afterAll(async () => {
  await model.close();
  await rm(cacheDirectory, { recursive: true });
});

const steeringOf = (positions: 'all' | 'last', strength: number): Steering => ({
  interventions: [{ site: SITE, change, positions, sinkThreshold: Number.POSITIVE_INFINITY }],
  strength,
});

/** Logits after every token of a text whose states at the site are changed by hand: [tokens, vocabulary]. */
async function expectedLogits(text: readonly number[], positions: 'all' | 'last', strength: number): Promise<Float32Array> {
  const { hidden } = model.spec;
  const batch = { ids: Int32Array.from(text), lengths: Int32Array.of(text.length), batch: 1, length: text.length };
  const below = await model.session({ sites: [SITE] });
  const above = await model.session({ sites: [], given: SITE, logits: 'all' });
  try {
    const states = (await below.run(batch)).residuals[0].slice();
    const isChanged = (row: number) => row > 0 && (positions === 'all' || row === text.length - 1);
    const changed = steeredStates(states, hidden, { change, sinkThreshold: Number.POSITIVE_INFINITY }, (row) =>
      isChanged(row) ? strength : 0,
    );
    return (await above.run(batch, { given: Float32Array.from(changed) })).logits!.slice();
  } finally {
    await below.close();
    await above.close();
  }
}

describe('the readout of a steered model', () => {
  test.each(['last', 'all'] as const)('is that of its changed states (%s)', async (positions) => {
    const { vocabulary } = model.spec;
    const strengths = [0.5, -1.5];
    const interventions = steeringOf(positions, 1).interventions.map(shapeOf);
    const below = await model.session({ sites: [SITE] });
    const above = await model.decoding({ sites: [], given: SITE, logits: 'last', logitTokens: WORDS, interventions });
    try {
      const found = await steeredReadout({
        parts: { below, above },
        tokens: TOKENS,
        pairs: INDICES,
        runs: [() => steeringOf(positions, 0.5), () => undefined, () => steeringOf(positions, -1.5)],
        positions,
        task: 'read',
      });
      for (const [run, strength] of [strengths[0], 0, strengths[1]].entries())
        for (const [i, text] of TEXTS.entries()) {
          const last = (await expectedLogits(text, positions, strength)).subarray(-vocabulary);
          const side = (words: number[]) =>
            logSumExp(
              Float32Array.from(words, (word) => last[word]),
              0,
              words.length,
            );
          const odds = side(PAIRS.map(([a]) => a)) - side(PAIRS.map(([, b]) => b));
          expect(found[run][i]).toBeCloseTo(odds, 4);
        }
      // A first token is never changed.
      expect(found[0][3]).toBeCloseTo(found[1][3], 6);
      expect(Math.abs(found[0][0] - found[1][0])).toBeGreaterThan(1e-3);
    } finally {
      await below.close();
      await above.close();
    }
  });
});

test('damage is the divergence at the tokens that are changed, and 0 at strength 0', async () => {
  const { vocabulary } = model.spec;
  const session = await model.session({
    sites: [],
    logits: 'all',
    interventions: steeringOf('all', 1).interventions.map(shapeOf),
  });
  try {
    const [still, steered] = await damage({
      session: new SteeredSession(undefined, session),
      tokens: TOKENS,
      runs: [{ steering: () => steeringOf('all', 0) }, { steering: () => steeringOf('all', 1) }],
      task: 'damage',
    });
    expect(still.totals()).toMatchObject({ tokens: 4 + 2 + 1 + 3, kl: 0 });
    expect(still.totals().steered).toBe(still.totals().original);
    let [kl, nats] = [0, 0];
    for (const text of TEXTS) {
      const [p, q] = [await expectedLogits(text, 'all', 0), await expectedLogits(text, 'all', 1)];
      for (let t = 1; t < text.length - 1; t++) {
        const [a, b] = [p, q].map((logits) => {
          const total = logSumExp(logits, t * vocabulary, vocabulary);
          return Float64Array.from({ length: vocabulary }, (_, v) => logits[t * vocabulary + v] - total);
        });
        for (let v = 0; v < vocabulary; v++) kl += Math.exp(a[v]) * (a[v] - b[v]);
        nats -= b[text[t + 1]];
      }
    }
    expect(steered.totals().kl).toBeCloseTo(kl, 4);
    expect(steered.totals().steered).toBeCloseTo(nats, 4);
    expect(kl).toBeGreaterThan(0.01);
  } finally {
    await session.close();
  }
});

describe('a prompt before every text', () => {
  const prompt = { ids: Int32Array.of(11, 3, 7), shared: 0 };
  const behind = (text: readonly number[]) => [...prompt.ids, ...text];

  test('is read as one text with it', async () => {
    const { vocabulary } = model.spec;
    const session = await model.session({ sites: [], logits: 'last', logitTokens: WORDS });
    try {
      const tokens = [TOKENS, prompted(TOKENS, prompt)];
      const [plain, found] = await promptedReadout({
        session: new SteeredSession(undefined, session),
        tokens,
        pairs: INDICES,
        task: 'read',
      });
      for (const [i, text] of TEXTS.entries())
        for (const [odds, ids] of [
          [plain[i], text],
          [found[i], behind(text)],
        ] as const) {
          const last = (await expectedLogits(ids, 'last', 0)).subarray(-vocabulary);
          const side = (words: number[]) =>
            logSumExp(
              Float32Array.from(words, (word) => last[word]),
              0,
              words.length,
            );
          expect(odds).toBeCloseTo(side(PAIRS.map(([a]) => a)) - side(PAIRS.map(([, b]) => b)), 4);
        }
    } finally {
      await session.close();
    }
  });

  test.each([0, 1])('costs what the same tokens diverge (%i of its tokens are the texts’ own first)', async (shared) => {
    const { vocabulary } = model.spec;
    const session = await model.session({ sites: [], logits: 'all' });
    try {
      const [sums] = await damage({
        session: new SteeredSession(undefined, session),
        tokens: TOKENS,
        runs: [{ prompt: { ...prompt, shared } }],
        task: 'damage',
      });
      let kl = 0;
      for (const text of TEXTS) {
        const before = prompt.ids.length - shared;
        const p = await expectedLogits(text, 'last', 0);
        const q = await expectedLogits([...prompt.ids, ...text.slice(shared)], 'last', 0);
        for (let t = 1; t < text.length - 1; t++) {
          const logOf = (logits: Float32Array, row: number) => {
            const total = logSumExp(logits, row * vocabulary, vocabulary);
            return (v: number) => logits[row * vocabulary + v] - total;
          };
          const [a, b] = [logOf(p, t), logOf(q, before + t)];
          for (let v = 0; v < vocabulary; v++) kl += Math.exp(a(v)) * (a(v) - b(v));
        }
      }
      expect(sums.totals().kl).toBeCloseTo(kl, 4);
      expect(kl).toBeGreaterThan(0.01);
    } finally {
      await session.close();
    }
  });
});

test('damage needs a token to predict', async () => {
  const session = await model.session({ sites: [], logits: 'all' });
  try {
    const tokens = { ids: Int32Array.of(1, 2), offsets: Int32Array.of(0, 2), truncated: 0 };
    await expect(
      damage({ session: new SteeredSession(undefined, session), tokens, runs: [], task: 'damage' }),
    ).rejects.toMatchObject({ code: 'bad-data' });
  } finally {
    await session.close();
  }
});
