import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { MoralscopeError } from '../../errors.js';
import { Random } from '../../random.js';
import { NextToken, type SamplingOptions } from './next-token.js';

interface Case {
  options: Partial<SamplingOptions>;
  before: number[];
  logits: number[];
  probabilities: number[];
}

const { sampling } = JSON.parse(await readFile(new URL('../../../fixtures/generation.golden.json', import.meta.url), 'utf8')) as {
  sampling: Case[];
};
const PLAIN: SamplingOptions = { temperature: 1, topP: 1, topK: 0, minP: 0, repetitionPenalty: 1 };
const none = new Set<number>();

/** Draws tokens, and how far their counts are from what is expected: chi-square and its degrees of freedom. */
function drawn(logits: Float32Array, options: SamplingOptions, before: ReadonlySet<number>, expected: readonly number[]) {
  const draws = 4000;
  const nextToken = new NextToken(logits.length);
  const random = new Random(7, 'draws', JSON.stringify(options));
  const counts = new Int32Array(logits.length);
  for (let i = 0; i < draws; i++) counts[nextToken.choose(logits, options, before, random)]++;
  let [chiSquare, cells, restExpected, restFound] = [0, 0, 0, 0];
  for (const [id, p] of expected.entries()) {
    if (p === 0) expect(counts[id]).toBe(0);
    else if (p * draws >= 5) {
      chiSquare += (counts[id] - p * draws) ** 2 / (p * draws);
      cells++;
    } else {
      restExpected += p * draws;
      restFound += counts[id];
    }
  }
  if (restExpected > 0) chiSquare += (restFound - restExpected) ** 2 / Math.max(restExpected, 1);
  return { chiSquare, freedom: Math.max(cells, 1) };
}

/** Exceeded once in about ten thousand times (Wilson and Hilferty's approximation). */
const limit = (freedom: number) => freedom * (1 - 2 / (9 * freedom) + 3.72 * Math.sqrt(2 / (9 * freedom))) ** 3;

describe('tokens are drawn from the probabilities of transformers', () => {
  test.each(sampling)('$options', ({ options: given, before: ids, logits: numbers, probabilities }) => {
    const options = { ...PLAIN, ...given };
    const logits = Float32Array.from(numbers);
    const before = new Set(ids);
    const nextToken = new NextToken(logits.length);
    nextToken.choose(logits, options, before, new Random(1));
    const weights = weightsOf(nextToken, penalised(logits, options.repetitionPenalty, before), options);
    const total = weights.reduce((a, b) => a + b);
    for (const [id, p] of probabilities.entries()) expect(weights[id] / total).toBeCloseTo(p, 6);
    expect(logits).toEqual(Float32Array.from(numbers));
    const { chiSquare, freedom } = drawn(logits, options, before, probabilities);
    expect(chiSquare).toBeLessThan(limit(freedom));
  });

  test('draws from other probabilities are found out', () => {
    const { options, logits, probabilities } = sampling[1];
    const other = { ...PLAIN, ...options, temperature: options.temperature! * 1.2 };
    const { chiSquare, freedom } = drawn(Float32Array.from(logits), other, none, probabilities);
    expect(chiSquare).toBeGreaterThan(limit(freedom));
  });
});

/** Of all tokens; 0 for those that may not be drawn. */
function weightsOf(nextToken: NextToken, scores: Float32Array, options: SamplingOptions): number[] {
  const { ids, weights } = nextToken.candidates(scores, options);
  const all = new Array<number>(scores.length).fill(0);
  for (const [i, id] of ids.entries()) all[id] = weights[i];
  return all;
}

function penalised(logits: Float32Array, penalty: number, before: ReadonlySet<number>): Float32Array {
  return logits.map((x, id) => (before.has(id) ? (x < 0 ? x * penalty : x / penalty) : x));
}

describe('a large vocabulary', () => {
  const random = new Random(3);
  const shapes: Record<string, Float32Array> = {
    steep: Float32Array.from({ length: 20_000 }, () => random.normal() * 8),
    flat: Float32Array.from({ length: 20_000 }, () => random.normal() * 0.01),
    'in few values': Float32Array.from({ length: 20_000 }, () => Math.round(random.normal())),
    equal: new Float32Array(20_000),
  };

  /** By sorting: how many of the largest are kept, and those that are equal to the last of them. */
  function sorted(logits: Float32Array, { topK, topP }: SamplingOptions): boolean[] {
    const most = logits.reduce((a, b) => Math.max(a, b));
    let kept = [...logits].sort((a, b) => b - a);
    if (topK > 0) kept = kept.filter((x) => x >= kept[topK - 1]);
    const weights = kept.map((x) => Math.exp(x - most));
    let left = topP * weights.reduce((a, b) => a + b);
    let least = kept.at(-1)!;
    for (const [i, weight] of weights.entries()) {
      left -= weight;
      if (left <= 0) {
        least = kept[i];
        break;
      }
    }
    return [...logits].map((x) => x >= least);
  }

  test('is drawn from block by block as from its candidates', () => {
    const logits = Float32Array.from({ length: 3000 }, (_, id) => (id % 500 === 7 ? 4 : random.normal() - 8));
    const weights = weightsOf(new NextToken(logits.length), logits, PLAIN);
    const total = weights.reduce((a, b) => a + b);
    const expected = weights.map((weight) => weight / total);
    const { chiSquare, freedom } = drawn(logits, PLAIN, none, expected);
    expect(chiSquare).toBeLessThan(limit(freedom));
  });

  test.each(Object.keys(shapes))('%s', (name) => {
    const logits = shapes[name];
    for (const options of [{ topK: 50 }, { topK: 1 }, { topP: 0.9 }, { topP: 0.1 }, { topK: 300, topP: 0.7 }, { topP: 0.9999 }]) {
      const weights = weightsOf(new NextToken(logits.length), logits, { ...PLAIN, ...options });
      expect(
        weights.map((weight) => weight > 0),
        JSON.stringify(options),
      ).toEqual(sorted(logits, { ...PLAIN, ...options }));
    }
  });
});

describe('greedy', () => {
  test('takes the first of the likeliest, after the penalty', () => {
    const nextToken = new NextToken(4);
    const greedy = { ...PLAIN, temperature: 0 };
    const logits = Float32Array.of(1, 3, 3, 2.5);
    expect(nextToken.choose(logits, greedy, none, new Random(1))).toBe(1);
    expect(nextToken.choose(logits, { ...greedy, repetitionPenalty: 1.5 }, new Set([1, 2]), new Random(1))).toBe(3);
  });

  test('a temperature near 0 is greedy, one token that is possible is taken', () => {
    const nextToken = new NextToken(3);
    const logits = Float32Array.of(0, 1, Number.NEGATIVE_INFINITY);
    expect(nextToken.choose(logits, { ...PLAIN, temperature: 5e-324 }, none, new Random(1))).toBe(1);
    const counts = [0, 0, 0];
    const random = new Random(2);
    for (let i = 0; i < 200; i++) counts[nextToken.choose(logits, { ...PLAIN, temperature: 100 }, none, random)]++;
    expect(counts[2]).toBe(0);
    expect(Math.min(counts[0], counts[1])).toBeGreaterThan(60);
  });

  test.each([0, 1])('logits that are not numbers are refused at temperature %d', (temperature) => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const logits = new Float32Array(4).fill(bad);
      const choose = () => new NextToken(4).choose(logits, { ...PLAIN, temperature }, none, new Random(1));
      expect(choose).toThrow(MoralscopeError);
    }
  });
});
