import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realWeights } from '../checkpoint/real-weights.test.support.js';
import { Random } from '../random.js';
import { type Intervention, shapeOf } from './intervention.js';
import { centredError, randomChange, steeredStates } from './intervention.test.support.js';
import { LanguageModel } from './language-model.js';
import { formatSite } from './site.js';
import { type TokenBatch, takeRows } from './token-rows.js';

/** @file SmolLM2-135M steered at three layers at once: real states, real sinks. */

const weights = await realWeights('smollm2-135m');
const TEXTS = [
  'Copper conducts electricity better than iron does.',
  'He read the weather report while the coffee was brewing.\n\nThen he left.',
  'Helping a stranger is morally',
];
const STRENGTH = 0.6;
const sites = [10, 18, 25].map((layer) => formatSite({ layer, point: 'resid_post' }));
const kinds = ['blend with thresholds', 'delta', 'project'] as const;

describe.skipIf(!weights)('SmolLM2-135M', () => {
  let model: LanguageModel;
  let hidden: number;
  let vocabulary: number;
  let batch: TokenBatch;
  let plain: { states: Float32Array[]; logits: Float32Array; place: Int32Array };
  let steered: { states: Float32Array[]; logits: Float32Array };
  let interventions: Intervention[];

  /** Of a session of its own, which is closed before the next is opened. */
  async function run(options: {
    tapped: string[];
    logits?: 'all' | undefined;
    at?: string;
    given?: Float32Array;
    strengths?: number[];
  }) {
    const { tapped, logits, at, given, strengths = [] } = options;
    const shapes = strengths.length > 0 ? interventions.map(shapeOf) : [];
    const session = await model.session({ sites: tapped, logits, given: at, interventions: shapes });
    const found = [];
    for (const strength of strengths.length > 0 ? strengths : [undefined]) {
      const steering = strength === undefined ? undefined : { interventions, strength };
      const { residuals, logits: all, place } = await session.run(batch, { given, steering });
      found.push({ states: residuals.map((states) => states.slice()), logits: all?.slice() ?? new Float32Array(), place });
    }
    await session.close();
    return found;
  }

  beforeAll(async () => {
    model = await LanguageModel.open('smollm2-135m', { threads: 1 });
    ({ hidden, vocabulary } = model.spec);
    batch = padded(TEXTS.map((text) => model.tokenizer.encode(text)));
    [plain] = await run({ tapped: sites, logits: 'all' });
    interventions = sites.map((site, i) => suited(site, kinds[i], plain.states[i], hidden));
  });
  afterAll(() => model.close());

  test('at strength 0 states and logits are those of the plain graph, bit for bit', async () => {
    const [without, with_] = await run({ tapped: sites, logits: 'all', strengths: [0, STRENGTH] });
    for (const [i, states] of without.states.entries()) expect(bytes(states).equals(bytes(plain.states[i]))).toBe(true);
    expect(bytes(without.logits).equals(bytes(plain.logits))).toBe(true);
    expect(bytes(with_.logits).equals(bytes(plain.logits))).toBe(false);
    steered = with_;
  });

  test('states after each layer, and the logits in the end, are those of the formulas', async () => {
    const first = Array.from({ length: batch.batch }, (_, text) => plain.place[text * batch.length]);
    const strengthOf = (row: number) => (first.includes(row) ? 0 : STRENGTH);
    let { states } = plain;
    for (const [i, intervention] of interventions.entries()) {
      const expected = steeredStates(states[0], hidden, intervention, strengthOf);
      const ordinary = rowsBelow(states[0], hidden, intervention.sinkThreshold);
      // From about layer 11 on first tokens are sinks.
      expect(ordinary.length < states[0].length / hidden).toBe(i > 0);
      const [found, known, before] = [steered.states[i], Float32Array.from(expected), states[0]].map((each) =>
        takeRows(each, hidden, ordinary),
      );
      expect(centredError(found, known, hidden)).toBeLessThan(i === 0 ? 1e-5 : 1e-4);
      expect(centredError(before, known, hidden)).toBeGreaterThan(0.1);
      const next = sites.slice(i + 1, i + 2);
      const logits = next.length === 0 ? ('all' as const) : undefined;
      const [after] = await run({ tapped: next, logits, at: intervention.site, given: Float32Array.from(expected) });
      if (next.length === 0) expect(centredError(steered.logits, after.logits, vocabulary)).toBeLessThan(1e-4);
      ({ states } = after);
    }
  });

  test('read by a prefill and steps they are those of the whole texts', async () => {
    const decoding = await model.decoding({ sites: [], logits: 'last', interventions: interventions.map(shapeOf) });
    const steering = { interventions, strength: STRENGTH };
    const cache = decoding.cache();
    const ids = (text: number) => batch.ids.subarray(text * batch.length, text * batch.length + batch.lengths[text]);
    const starts = batch.lengths.map((n) => n - 3);
    let { logits } = await decoding.prefill(
      cache,
      padded([0, 1, 2].map((text) => ids(text).subarray(0, starts[text]))),
      steering,
    );
    for (let step = 0; ; step++) {
      for (const [text, start] of starts.entries()) {
        const row = plain.place[text * batch.length + start + step - 1] * vocabulary;
        const whole = steered.logits.subarray(row, row + vocabulary);
        expect(worstDifference(logits!.subarray(text * vocabulary, (text + 1) * vocabulary), whole)).toBeLessThan(1e-3);
      }
      if (step === 3) break;
      ({ logits } = await decoding.step(
        cache,
        Int32Array.from(starts, (start, text) => ids(text)[start + step]),
        steering,
      ));
    }
    await decoding.close();
  });
});

/** An intervention with random numbers of the size of these states; three times their median norm is a sink's. */
function suited(site: string, kind: (typeof kinds)[number], states: Float32Array, hidden: number): Intervention {
  const all = Float64Array.from({ length: states.length / hidden }, (_, row) =>
    Math.hypot(...states.subarray(row * hidden, (row + 1) * hidden)),
  );
  const sinkThreshold = 3 * all.toSorted()[all.length >> 1];
  const ordinary = takeRows(states, hidden, rowsBelow(states, hidden, sinkThreshold));
  const rows = ordinary.length / hidden;
  const mean = new Float32Array(hidden);
  for (const [i, value] of ordinary.entries()) mean[i % hidden] += value / rows;
  const size = Math.sqrt(ordinary.reduce((sum, value, i) => sum + (value - mean[i % hidden]) ** 2, 0) / ordinary.length);
  const change = randomChange(kind, hidden, new Random(7), { latents: 700, size, mean });
  return { site, change, positions: 'all', sinkThreshold };
}

function rowsBelow(states: Float32Array, hidden: number, threshold: number): Int32Array {
  const rows = Array.from({ length: states.length / hidden }, (_, row) => row);
  return Int32Array.from(rows.filter((row) => Math.hypot(...states.subarray(row * hidden, (row + 1) * hidden)) <= threshold));
}

function bytes({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function padded(texts: readonly ArrayLike<number>[]): TokenBatch {
  const length = Math.max(...texts.map((ids) => ids.length));
  const ids = Int32Array.from(texts.flatMap((text) => [...Array.from(text), ...new Array<number>(length - text.length).fill(0)]));
  return { ids, lengths: Int32Array.from(texts, (text) => text.length), batch: texts.length, length };
}

function worstDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);
}
