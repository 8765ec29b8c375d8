import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { saidFigures } from './said.js';
import type { ControlKind, Outcome, Verification, VerifiedSet } from './schema.js';
import { overallVerdict, setVerdict } from './verdict.js';

/** @file Planted readouts: what is said of them, and every verdict that can be reached. */

const N = 400;
const valence = Float32Array.from({ length: N }, (_, i) => (i % 2 === 0 ? 1 : -1));
const positions = Int32Array.from({ length: N }, (_, i) => i);

/** Log-odds whose classes are so many standard deviations apart, around a bias; the noise is a text's own, whoever reads it. */
function odds(distance: number, bias = 0, name = 'texts'): Float64Array {
  const random = new Random(0, name);
  return Float64Array.from(valence, (v) => (v * distance) / 2 + random.normal() + bias);
}

interface World {
  after: Float64Array;
  controls?: readonly [kind: ControlKind, n: number, distance: number, noise?: string][];
  knows?: number;
  words?: number;
  recalibrated?: number;
}

function measured({
  after,
  controls = [
    ['shuffled', 20, 0.4],
    ['random', 100, 0.4],
  ],
  knows = 2,
  words = 0.5,
  recalibrated = 0.5,
}: World) {
  const texts = {
    name: 'planted',
    kind: 'corpus' as const,
    sha256: 'planted',
    authored: false,
    texts: Array.from(positions, String),
    valence,
    unit: positions,
    units: N,
  };
  const figures = saidFigures(
    texts,
    {
      before: odds(0.4),
      remedy: [odds(0.4), after],
      controls: controls.flatMap(([kind, n, distance, noise]) =>
        Array.from({ length: n }, (_, i) => ({
          name: `${kind}-${i}`,
          kind,
          odds: odds(distance + (i - n / 2) / (20 * n), 0, noise),
        })),
      ),
    },
    { knows: odds(knows, 0, 'probe'), bagOfWords: odds(words, 0, 'words'), recalibrated: odds(recalibrated, 0, 'logistic') },
    { strengths: [0.5, 1], chosen: 1, bootstraps: 1000, seed: 0 },
  );
  return {
    name: 'planted',
    kind: 'corpus' as const,
    sha256: 'planted',
    authored: false,
    fittedOn: false,
    relation: 'another data set',
    n: { texts: N, virtues: N / 2, vices: N / 2, neutrals: 0, training: N, seen: 0, beyond: 0 },
    ...figures,
    knows: { layer: 3, ...figures.knows },
  };
}

function verified(world: World): VerifiedSet {
  const set = measured(world);
  return { ...set, ...setVerdict(set) };
}

const WORLDS: Record<Exclude<Outcome, 'empty'>, World> = {
  better: { after: odds(1.2) },
  'not above floors': { after: odds(1.2), words: 1.5 },
  'not above controls': {
    after: odds(1.2),
    controls: [
      ['shuffled', 20, 0.4],
      ['random', 100, 1.25],
    ],
  },
  'no controls': { after: odds(1.2), controls: [['shuffled', 3, 0.4]] },
  'no floors': { after: odds(1.2), words: Number.NaN },
  'bias only': { after: odds(0.4, 1.5) },
  worse: { after: odds(-0.2) },
  nothing: { after: odds(0.4) },
};

describe('figures of a planted readout', () => {
  test('are those that are known', () => {
    const set = measured({ after: odds(1.2, 0.7) });
    // Phi(d / sqrt 2) of d = .4 and 1.2, on 400 texts
    expect(set.before.auc.value).toBeCloseTo(0.611, 1);
    expect(set.after.auc.value).toBeCloseTo(0.802, 1);
    expect(set.change.auc.value).toBe(set.after.auc.value! - set.before.auc.value!);
    expect(set.change.auc.p).toBeLessThan(0.005);
    expect(set.change.bias.value).toBeCloseTo(0.7, 9);
    expect(set.strengths.map(({ strength }) => strength)).toEqual([0.5, 1]);
    expect(set.strengths[0].change).toMatchObject({ value: 0, p: 1 });
    const [says, after, knows] = [set.before.auc.value!, set.after.auc.value!, set.knows.auc.value!];
    expect(set.gapClosed.value).toBeCloseTo((after - says) / (knows - says), 9);
    expect(set.gapClosed.ci95![0]).toBeLessThan(set.gapClosed.value!);
    expect(set.controls.map(({ kind, n, p }) => ({ kind, n, p }))).toEqual([
      { kind: 'shuffled', n: 20, p: 1 / 21 },
      { kind: 'random', n: 100, p: 1 / 101 },
    ]);
    expect(set.controls[1].auc.q975).toBeGreaterThan(set.controls[1].auc.mean);
    expect(set.arms).toHaveLength(120);
    expect(set.before.pairsRight).toBeUndefined();
  });

  test('have no gap where a probe knows no more than is said', () => {
    const set = verified({ after: odds(1.2), knows: 0.35 });
    expect(set.gapClosed.value).toBeNull();
    expect(set.told).toContain('no gap');
  });
});

describe('a verdict on one data set', () => {
  test.each(Object.entries(WORLDS))('%s', (outcome, world) => {
    expect(verified(world).outcome).toBe(outcome);
  });

  test('says what stands beside it', () => {
    const { told } = verified(WORLDS['not above controls']);
    expect(told).toContain('NOT above 100 random controls');
    expect(told).toContain('Above 20 shuffled controls');
    expect(verified(WORLDS['not above floors']).told).toContain('BELOW a bag of words');
    expect(verified({ after: odds(1.2), controls: [] }).told).toContain('No control stands beside it');
  });

  test('needs more than 97.5% of the controls below it, and of few the best one beaten beyond chance', () => {
    const after = odds(1.2);
    const [close] = measured({ after, controls: [['random', 100, 1.18]] }).controls;
    const aucs = measured({ after, controls: [['random', 100, 1.18]] }).arms.map(({ auc }) => auc!);
    expect(close.bar).toBe(aucs.sort((a, b) => a - b)[98]);
    const [twenty] = measured({ after, controls: [['shuffled', 20, 1.18]] }).controls;
    expect(twenty.bar).toBe(twenty.auc.max);
    expect(twenty.above).toBeUndefined();
    // A single control that reads the texts otherwise, and is lower by no more than chance.
    const beside = (distance: number) =>
      verified({
        after,
        controls: [
          ['shuffled', 20, 0.4],
          ['unaligned', 1, distance, 'other noise'],
        ],
      });
    const [, near] = beside(1.1).controls;
    expect(near.bar).toBeLessThan(verified({ after }).after.auc.value!);
    expect(near.above!.ci95![0]).toBeLessThan(0);
    expect(beside(1.1).outcome).toBe('not above controls');
    expect(beside(0.5).outcome).toBe('better');
  });

  test('stands on nothing where a kind of control gives no numbers', () => {
    const { outcome, told, controls } = verified({
      after: odds(1.2),
      controls: [
        ['shuffled', 20, Number.NaN],
        ['random', 100, 0.4],
      ],
    });
    expect(controls.map(({ kind, n }) => [kind, n])).toEqual([['random', 100]]);
    expect(outcome).toBe('no controls');
    expect(told).toContain('Under every shuffled control the model gives no numbers');
  });

  test('is empty where nothing is judged', () => {
    const set = measured(WORLDS.better);
    const none = { value: null, why: 'the texts lack a virtue or a vice' };
    expect(setVerdict({ ...set, change: { ...set.change, auc: none } })).toMatchObject({ outcome: 'empty' });
  });
});

describe('the verdict', () => {
  const damage = (kl: number): Verification['damage'] => ({
    source: 'general text',
    texts: 64,
    tokens: 800,
    before: { nats: { value: 3 }, perplexity: 20 },
    remedy: [{ strength: 1, kl: { value: kl, ci95: [kl / 2, 2 * kl] }, rise: { value: 0 }, perplexity: 21 }],
    controls: [],
    arms: [],
  });
  const choice = { chosen: { strength: 1 } } as Verification['choice'];
  const overall = (sets: VerifiedSet[], kl = 0.01) => overallVerdict({ sets, damage: damage(kl), choice });
  const found = new Map(Object.entries(WORLDS).map(([outcome, world]) => [outcome, verified(world)]));
  const own = (outcome: keyof typeof WORLDS) => ({ ...found.get(outcome)!, name: 'own', fittedOn: true });
  const other = (outcome: keyof typeof WORLDS) => ({ ...found.get(outcome)!, name: 'other' });

  test('repairs only by another data set', () => {
    expect(overall([own('nothing'), other('better')]).outcome).toBe('repairs');
    const fits = overall([own('better'), other('nothing')]);
    expect(fits.outcome).toBe('fits');
    expect(fits.text).toContain('on no other does that hold');
    expect(fits.text).toContain('On other: no change is seen.');
    expect(overall([own('better')]).text).toContain('nothing is shown to transfer');
  });

  test('is no repair where another data set is harmed, and names both', () => {
    const { outcome, text } = overall([other('better'), { ...other('worse'), name: 'third' }, own('nothing')]);
    expect(outcome).toBe('mixed');
    expect(text).toContain('on other, and worse than before on third');
    expect(text).toContain('On own: no change is seen.');
    expect(overall([own('not above controls'), other('worse')]).outcome).toBe('like its controls');
    expect(overall([own('bias only'), other('worse')]).outcome).toBe('worse');
  });

  test.each([
    ['not above floors', 'recalibrates', 'without touching the model'],
    [
      'not above controls',
      'like its controls',
      'controls do as well (random): the direction in which it pushes states does not matter',
    ],
    ['no controls', 'unproven', 'align --controls'],
    ['no floors', 'unproven', 'a floor could not be computed'],
    ['bias only', 'shifts', 'only shifts the bias'],
    ['worse', 'worse', 'does harm'],
    ['nothing', 'nothing', 'is ruled out'],
  ] as const)('of %s is: %s', (on, expected, words) => {
    const { outcome, text } = overall([own(on), other(on)]);
    expect(outcome).toBe(expected);
    expect(text).toContain(words);
  });

  test('tells the damage, and where it is too large', () => {
    expect(overall([other('better')]).text).toMatch(/\.010 \[\.005, \.020\] nats a token of KL .*; below \.05\)/);
    expect(overall([other('better')], 0.2).text).toContain('NOT below .05');
  });
});
