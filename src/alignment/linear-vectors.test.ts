import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import type { Change } from '../model/intervention.js';
import { Random } from '../random.js';
import { changedStates } from './changed-states.js';
import type { Contrast, Labelling } from './contrast.js';
import { meanLength } from './linear-evaluation.js';
import { products } from './linear-fit.js';
import { type LinearKind, linearSite, pushedAlong, readBy } from './linear-vectors.js';

interface Case {
  train: number[];
  validation: number[];
  y: number[];
  validationY: number[];
  weigh: boolean;
  difference: number[];
  spread: number;
  lambda: number;
  validationAuc: number;
  w: number[];
  caa: number[];
  amplify: number[];
  component: number[];
  explained: number;
  conva: number[];
  steps: number[];
}
const { cases, d, strength, target } = JSON.parse(
  readFileSync(new URL('../../fixtures/linear-remedies.golden.json', import.meta.url), 'utf8'),
) as { cases: Case[]; d: number; strength: number; target: number };

let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

const range = (from: number, to: number) => Int32Array.from({ length: to - from }, (_, i) => from + i);
/** Good and bad neighbours whose judgments are not 0. */
const neighbours = (signed: Float32Array) => (among: Int32Array) =>
  Array.from(among)
    .filter((at) => at % 2 === 0 && signed[at] > 0 && signed[at + 1] < 0)
    .map((at): [number, number] => [at, at + 1]);

function contrastOf({ y, validationY }: Pick<Case, 'y' | 'validationY'>): Contrast {
  const signed = Float32Array.from([...y, ...validationY]);
  const observed: Labelling = { signed, pairs: neighbours(signed) };
  return {
    rows: range(0, signed.length),
    text: String,
    split: { train: range(0, y.length), validation: range(y.length, signed.length), test: new Int32Array(0) },
    of: 'pairs',
    targets: undefined,
    observed,
    exchanged: () => observed,
  };
}

const statesOf = ({ train, validation }: Pick<Case, 'train' | 'validation'>) => ({
  d,
  train: Float32Array.from(train),
  validation: Float32Array.from(validation),
  test: new Float32Array(0),
});
const at = (change: Change) => ({ site: 'blocks.0.hook_resid_post', change, positions: 'all' as const, sinkThreshold: 1e9 });
/** Relative to the size of the states' signal, since channel 0 is about 1,000. */
const near = (found: ArrayLike<number>, wanted: readonly number[], tolerance: number) => {
  expect(found.length).toBe(wanted.length);
  expect(Math.max(...wanted.map((value, i) => Math.abs(value - found[i])))).toBeLessThan(tolerance);
};

describe.each(cases.map((golden) => [golden.weigh ? 'judgments that weigh' : 'all alike', golden] as const))(
  '%s',
  (_, golden) => {
    const site = (kind: LinearKind) =>
      linearSite(kind, statesOf(golden), contrastOf(golden), [], { weigh: golden.weigh, target }, matmul);
    const validation = Float32Array.from(golden.validation);

    test('caa adds the difference of means', async () => {
      const { change, fit, difference } = await site('caa');
      near(difference, golden.difference, 1e-9 * 1000);
      near(changedStates(validation, d, at(change), strength), golden.caa, 1e-3);
      expect(fit.norm).toBeCloseTo(Math.hypot(...golden.difference), 3);
    });

    test('amplify feeds the probe of scikit-learn back', async () => {
      const { change, fit, probe } = await site('amplify');
      near(probe, golden.w, 1e-5);
      expect(fit.lambda).toBe(golden.lambda);
      expect(fit.spread).toBeCloseTo(golden.spread, 3);
      expect(fit.norm).toBeCloseTo(golden.spread, 3);
      expect(fit.validationAuc).toBeCloseTo(golden.validationAuc, 9);
      near(changedStates(validation, d, at(change), strength), golden.amplify, 5e-3);
    });

    test('pca is the component of paired differences, as long as the spread along it', async () => {
      const { change, fit } = await site('pca');
      near(pushedAlong(change), golden.component, 2e-3);
      expect(fit.explained).toBeCloseTo(golden.explained, 5);
    });

    test('conva steps to the target and no further', async () => {
      const { change } = await site('conva');
      const changed = changedStates(validation, d, at(change), 1);
      near(changed, golden.conva, 2e-2);
      const [steps, moved] = [golden.steps, changed.map((value, i) => value - validation[i])];
      expect(steps.some((step) => step === 0)).toBe(true);
      steps.forEach((step, i) => {
        if (step === 0) expect(moved.subarray(i * d, (i + 1) * d)).toEqual(new Float32Array(d));
      });
    });
  },
);

describe('a planted direction', () => {
  const random = new Random(5, 'planted');
  const width = 16;
  const along = Float64Array.from({ length: width }, () => random.normal());
  const norm = Math.hypot(...along);
  const labels = (n: number) => Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
  const draw = (n: number) =>
    Float32Array.from({ length: n * width }, (_, i) => {
      const [row, c] = [Math.floor(i / width), i % width];
      return (c === 2 ? 3000 : 0) + random.normal() + ((row % 2 === 0 ? 1 : -1) * 1.2 * along[c]) / norm;
    });
  const states = { d: width, train: draw(600), validation: draw(100), test: draw(400) };
  const contrast = contrastOf({ y: labels(600), validationY: labels(100) });
  const cosine = (v: ArrayLike<number>) => {
    let product = 0;
    for (let c = 0; c < width; c++) product += v[c] * along[c];
    return product / (norm * Math.hypot(...Array.from(v)));
  };
  const share = (w: ArrayLike<number>) => {
    const scores = products(states.test, Float64Array.from(Array.from(w)));
    let right = 0;
    for (let i = 0; i < scores.length; i += 2) right += Number(scores[i] > scores[i + 1]);
    return right / (scores.length / 2);
  };

  const exchanged = Array.from({ length: 20 }, (_, i): Labelling => {
    const signed = new Random(i, 'shuffle').shuffle(contrast.observed.signed.slice());
    const sides = (among: Int32Array, sign: number) => among.filter((text) => sign * signed[text] > 0);
    return {
      signed,
      pairs: (among) => {
        const bad = sides(among, -1);
        return Array.from(sides(among, 1).subarray(0, bad.length), (good, j): [number, number] => [good, bad[j]]);
      },
    };
  });

  test.each(['caa', 'pca', 'amplify', 'conva'] as const)(
    '%s finds it; fits to shuffled judgments do not, and push as far',
    async (kind) => {
      const { change, shuffled, fit } = await linearSite(kind, states, contrast, exchanged, {}, matmul);
      expect(cosine(pushedAlong(change))).toBeGreaterThan(0.93);
      expect(share(readBy(change))).toBeGreaterThan(0.9);
      expect(shuffled).toHaveLength(20);
      const reads = shuffled.map(readBy);
      const mean = reads.reduce((sum, w) => sum + share(w), 0) / reads.length;
      expect(Math.abs(mean - 0.5)).toBeLessThan(0.2);
      expect(fit.norm).toBeCloseTo(Math.hypot(...pushedAlong(change)), 3);
      const lengths = shuffled.map((control) => {
        const moved = changedStates(states.test, width, at(control), 1).map((value, i) => value - states.test[i]);
        return Math.hypot(...moved);
      });
      const own = Math.hypot(...changedStates(states.test, width, at(change), 1).map((value, i) => value - states.test[i]));
      for (const length of lengths) expect(length / own).toBeGreaterThan(0.5);
    },
  );

  test('conva: fits to shuffled judgments take steps as long as its own from the training texts', async () => {
    // Where channels differ in spread, a unit of z is another distance along each ridge.
    const stretched = (x: Float32Array) => x.map((value, at) => (at % width < 4 ? 5 : 1) * value);
    const wide = { ...states, train: stretched(states.train), validation: stretched(states.validation) };
    const { change, shuffled } = await linearSite('conva', wide, contrast, exchanged, {}, matmul);
    const stepOf = (of: Change) => {
      const changed = changedStates(wide.train, width, at(of), 1);
      return meanLength(
        changed.map((value, i) => value - wide.train[i]),
        width,
      );
    };
    const own = stepOf(change);
    expect(own).toBeGreaterThan(0.1);
    for (const control of shuffled) expect(Math.abs(stepOf(control) / own - 1)).toBeLessThan(1e-4);
  });

  test('states that say nothing are refused', async () => {
    const flat = { ...states, train: new Float32Array(600 * width).fill(7) };
    await expect(linearSite('caa', flat, contrast, [], {}, matmul)).rejects.toMatchObject({ code: 'bad-data' });
  });

  test('pca without pairs, and conva by a probe that fails on the validation texts, are refused', async () => {
    const { observed } = contrast;
    const alone = { ...contrast, observed: { ...observed, pairs: () => [] } };
    await expect(linearSite('pca', states, alone, [], {}, matmul)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('0 pairs'),
    });
    const signed = observed.signed.map((value, text) => (text < 600 ? value : -value));
    const reversed = { ...contrast, observed: { ...observed, signed } };
    await expect(linearSite('conva', states, reversed, [], {}, matmul)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('validation texts'),
    });
  });
});
