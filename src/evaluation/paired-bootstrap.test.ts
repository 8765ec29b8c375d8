import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { auc } from '../statistics/ranks.js';
import { type Drawn, difference, estimate, gapClosed, minus, PairedBootstrap, side } from './paired-bootstrap.js';

/** Scores whose classes are normal, as far apart as their AUC asks: AUC = Phi(distance / sqrt 2). */
function planted(n: number, distance: number, random: Random): { scores: Float64Array; valence: Float32Array } {
  const valence = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
  return { valence, scores: Float64Array.from(valence, (v) => (v * distance) / 2 + random.normal()) };
}

const singly = (n: number) => ({ unit: Int32Array.from({ length: n }, (_, i) => i), units: n });
/** Phi(.7 / sqrt 2) */
const AUC_AT_07 = 0.6897;

describe('a paired bootstrap', () => {
  test('covers a known AUC, and a known difference, about 95 times in 100', () => {
    const [worlds, n] = [150, 120];
    let [level, gain] = [0, 0];
    for (let world = 0; world < worlds; world++) {
      const random = new Random(world, 'coverage');
      const { scores, valence } = planted(n, 0.7, random);
      // Another reader of the same texts, whose errors are partly the first one's.
      const better = scores.map((score, i) => score + valence[i] * 0.35);
      const bootstrap = new PairedBootstrap({ valence, ...singly(n) }, { bootstraps: 200, seed: world });
      const before = bootstrap.auc(scores);
      const { ci95 } = estimate(before, [0, 1]);
      if (ci95![0] <= AUC_AT_07 && AUC_AT_07 <= ci95![1]) level++;
      const change = difference(minus(bootstrap.auc(better), before));
      // Phi(1.4 / sqrt 2) - Phi(.7 / sqrt 2)
      const truth = 0.8389 - AUC_AT_07;
      if (change.ci95![0] <= truth && truth <= change.ci95![1]) gain++;
    }
    for (const hits of [level, gain]) {
      expect(hits / worlds).toBeGreaterThan(0.88);
      expect(hits / worlds).toBeLessThan(0.995);
    }
  });

  test('draws both texts of a pair together', () => {
    const n = 60;
    const random = new Random(1, 'pairs');
    const unit = Int32Array.from({ length: n }, (_, i) => i >> 1);
    const valence = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1 : -1));
    // What a pair is about moves both of its texts; within it the good one is always .1 above.
    const topic = Float64Array.from({ length: n / 2 }, () => 5 * random.normal());
    const scores = Float64Array.from({ length: n }, (_, i) => topic[i >> 1] + 0.05 * valence[i]);
    const pairs = Int32Array.from({ length: n }, (_, i) => i);
    const drawn = { bootstraps: 300, seed: 0 };
    const paired = new PairedBootstrap({ valence, unit, units: n / 2, pairs }, drawn);
    const torn = new PairedBootstrap({ valence, ...singly(n) }, drawn);
    const width = (auc: Drawn) => {
      const { ci95 } = estimate(auc);
      return ci95![1] - ci95![0];
    };
    expect(width(paired.auc(scores))).toBeLessThan(0.25 * width(torn.auc(scores)));
    expect(estimate(paired.pairsRight(scores)!)).toEqual({ value: 1, ci95: [1, 1] });
    const ties = scores.map((_, i) => topic[i >> 1]);
    expect(paired.pairsRight(ties)!.value).toBe(0.5);
    expect(torn.pairsRight(scores)).toBeUndefined();
  });

  test('keeps discrimination and bias apart', () => {
    const random = new Random(2, 'bias');
    const { scores, valence } = planted(200, 0.7, random);
    const bootstrap = new PairedBootstrap({ valence, ...singly(200) }, { bootstraps: 200, seed: 0 });
    const shifted = scores.map((score) => score + 2);
    expect(difference(minus(bootstrap.auc(shifted), bootstrap.auc(scores)))).toEqual({ value: 0, ci95: [0, 0], p: 1 });
    const bias = difference(minus(bootstrap.bias(shifted), bootstrap.bias(scores)));
    expect(bias.value).toBeCloseTo(2, 9);
    expect(bias.p).toBeCloseTo(2 / 201, 9);
    expect(bootstrap.auc(scores).value).toBe(
      auc(
        scores,
        valence.map((v) => (v > 0 ? 1 : 0)),
      ),
    );
  });

  test('says why there is no value', () => {
    const bootstrap = new PairedBootstrap({ valence: Float32Array.of(1, 1, 1), ...singly(3) }, { bootstraps: 50, seed: 0 });
    expect(estimate(bootstrap.auc(Float64Array.of(1, 2, 3)))).toEqual({
      value: null,
      why: 'the texts lack a virtue or a vice',
    });
    const unread = new PairedBootstrap({ valence: Float32Array.of(1, -1, 1), ...singly(3) }, { bootstraps: 50, seed: 0 });
    expect(difference(unread.auc(new Float64Array(3).fill(Number.NaN)), 'nobody read it')).toEqual({
      value: null,
      why: 'nobody read it',
    });
  });
});

describe('the gap closed', () => {
  const drawn = (value: number, spread: number, name: string): Drawn => {
    const random = new Random(0, name);
    return { value, draws: Float64Array.from({ length: 1000 }, () => value + spread * random.normal()) };
  };

  test('is a half where it is known to be', () => {
    const [before, after, knows] = [drawn(0.6, 0.01, 'before'), drawn(0.7, 0.01, 'after'), drawn(0.8, 0.01, 'knows')];
    const { value, ci95 } = gapClosed(before, after, knows);
    expect(value).toBeCloseTo(0.5, 9);
    // d(ratio) = sqrt(.01^2 + (.5 * .01)^2 + (.5 * .01)^2) / .2 = .061
    expect(ci95![0]).toBeGreaterThan(0.5 - 0.15);
    expect(ci95![0]).toBeLessThan(0.5 - 0.09);
    expect(ci95![1]).toBeLessThan(0.5 + 0.15);
    expect(ci95![1]).toBeGreaterThan(0.5 + 0.09);
  });

  test('is above 1 where more is said than a probe knows, and below 0 where harm is done', () => {
    const [before, knows] = [drawn(0.6, 0.01, 'before'), drawn(0.8, 0.01, 'knows')];
    expect(gapClosed(before, drawn(0.85, 0.01, 'after'), knows).value).toBeCloseTo(1.25, 9);
    const harmed = gapClosed(before, drawn(0.5, 0.01, 'after'), knows);
    expect(harmed.value).toBeCloseTo(-0.5, 9);
    expect(side(harmed)).toBe(-1);
  });

  test('is none where the interval of the gap holds 0, or nothing more is known', () => {
    const before = drawn(0.6, 0.01, 'before');
    for (const knows of [drawn(0.61, 0.03, 'knows'), drawn(0.5, 0.01, 'knows')]) {
      const { value, why } = gapClosed(before, drawn(0.7, 0.01, 'after'), knows);
      expect(value).toBeNull();
      expect(why).toContain('no gap');
    }
  });

  test('has a finite interval though some draws have no gap', () => {
    const { ci95 } = gapClosed(drawn(0.6, 0.01, 'before'), drawn(0.7, 0.01, 'after'), drawn(0.65, 0.0195, 'knows'));
    expect(ci95!.every(Number.isFinite)).toBe(true);
    expect(ci95![0]).toBeGreaterThan(0);
    expect(ci95![1]).toBeGreaterThan(2);
  });
});
