import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { designOf } from './design.js';
import { JudgedTexts } from './judged-texts.js';
import { randomCorpus } from './planted.test.support.js';
import { logOdds, polarityLabels, READOUT, readoutStatistics } from './readout.js';
import { diagnoseReadout } from './readout-figures.js';

describe('log-odds', () => {
  test('log of summed probabilities, virtue over vice', () => {
    const p = [
      [0.1, 0.05, 0.2, 0.02],
      [0.01, 0.3, 0.002, 0.1],
    ];
    const found = logOdds(Float32Array.from(p.flat().map(Math.log)), 4, [
      [0, 1],
      [2, 3],
    ]);
    expect(found[0]).toBeCloseTo(Math.log((0.1 + 0.2) / (0.05 + 0.02)), 5);
    expect(found[1]).toBeCloseTo(Math.log((0.01 + 0.002) / (0.3 + 0.1)), 5);
  });

  test('a token that stands in two pairs is counted once, and tiny probabilities do not vanish', () => {
    const found = logOdds(Float32Array.of(-500, -510, -520), 3, [
      [0, 1],
      [0, 2],
    ]);
    expect(found[0]).toBeCloseTo(-500 - (-510 + Math.log1p(Math.exp(-10))), 4);
  });
});

describe('discrimination and bias', () => {
  const random = new Random(3);
  const valence = Float32Array.from({ length: 90 }, () => [-1, -0.5, 0, 0.25, 1][random.below(5)]);
  const odds = Float64Array.from(valence, (v) => v + random.normal() + 0.4);
  const found = readoutStatistics(odds, valence);

  test('shifting every text moves the bias alone', () => {
    const shifted = readoutStatistics(
      odds.map((v) => v + 3),
      valence,
    );
    expect(shifted[READOUT.bias]).toBeCloseTo(found[READOUT.bias] + 3, 9);
    expect(shifted[READOUT.auc]).toBe(found[READOUT.auc]);
    expect(shifted[READOUT.spearman]).toBe(found[READOUT.spearman]);
  });

  test('spreading the classes around their middle moves discrimination alone', () => {
    const spread = odds.map((v, i) => v + 2 * Math.sign(valence[i]));
    const apart = readoutStatistics(spread, valence);
    expect(apart[READOUT.bias]).toBeCloseTo(found[READOUT.bias], 9);
    expect(apart[READOUT.auc]).toBeGreaterThan(found[READOUT.auc] + 0.1);
  });

  test('bias is the mean of the class means, whatever their sizes; neutrals are left out', () => {
    const statistics = readoutStatistics(Float64Array.of(1, 2, 3, -4, 100), Float32Array.of(1, 0.5, 0.25, -1, 0));
    expect(statistics[READOUT.bias]).toBeCloseTo((2 - 4) / 2, 12);
    expect(statistics[READOUT.auc]).toBe(1);
    expect([...polarityLabels(Float32Array.of(0.1, 0, -0.1))]).toEqual([1, -1, 0]);
  });

  test('bootstrap counts equal copies written out', () => {
    const counts = Uint16Array.from(valence, () => random.below(4));
    const copies = [...counts].flatMap((times, i) => Array.from({ length: times }, () => i));
    const written = readoutStatistics(
      Float64Array.from(copies, (i) => odds[i]),
      Float32Array.from(copies, (i) => valence[i]),
    );
    readoutStatistics(odds, valence, counts).forEach((value, i) => {
      expect(value).toBeCloseTo(written[i], 9);
    });
  });
});

describe('analysis 5', () => {
  const texts = JudgedTexts.of(randomCorpus(300, 6));
  const design = designOf(texts, { seed: 1, permutations: 80, bootstraps: 60 });
  const words = { floor: { value: 0 }, ceiling: { value: 1 }, auc: { value: 0.55 } };
  const judged = texts.valence();
  const captured = (says: number, hidden: number, pairs: [number, number][] = [[0, 1]]) => {
    const random = new Random(9, says, hidden);
    return {
      tokenIds: [10, 11, 12],
      tokens: [' right', ' wrong', ' the'],
      pairs,
      words: pairs.map((): [string, string] => ['right', 'wrong']),
      sample: 300,
      logProbs: Float32Array.from({ length: 900 }, (_, at) => {
        const v = judged[Math.floor(at / 3)];
        return -4 + 0.5 * random.normal() + (at % 3 === 0 ? says * v - 0.8 : at % 3 === 2 ? hidden * v : 0);
      }),
    };
  };

  test('finds what is said, and tells it from the leaning of the words', () => {
    const found = diagnoseReadout(captured(2, 0), design, words);
    expect(found.auc.value).toBeGreaterThan(0.85);
    expect(found.auc.p).toBeCloseTo(1 / 81, 12);
    expect(found.auc.null!.mean).toBeCloseTo(0.5, 1);
    expect(found.auc.ci95![0]).toBeGreaterThan(0.75);
    expect(found.spearman.value).toBeGreaterThan(0.6);
    expect(found.bias.value).toBeCloseTo(-0.8, 0);
    expect(found.bias).not.toHaveProperty('p');
    expect(found.floors.bagOfWords).toEqual(words.auc);
    expect(found.aucOnTest.value).toBeGreaterThan(0.8);
  });

  test('what only other tokens carry is not said, but recalibration finds it', () => {
    const found = diagnoseReadout(captured(0, 2), design, words);
    expect(found.auc.value).toBeLessThan(0.6);
    expect(found.auc.p).toBeGreaterThan(0.05);
    expect(found.floors.recalibrated.value).toBeGreaterThan(0.85);
    expect(found.floors.recalibrated.p).toBeLessThan(0.05);
    expect(found.aucOnTest.value).toBeLessThan(0.7);
  });

  test('without a readout, or without a pair, it says why', () => {
    for (const [given, why] of [
      [undefined, 'without a readout'],
      [captured(1, 1, []), 'no antonym pair'],
    ] as const) {
      const found = diagnoseReadout(given, design, words);
      for (const figure of [found.auc, found.spearman, found.bias, found.aucOnTest, found.floors.recalibrated]) {
        expect(figure.value).toBeNull();
        expect(figure.why).toContain(why);
      }
      expect(found.floors.bagOfWords).toEqual(words.auc);
    }
  });
});
