import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { type BatchStates, median, POOLINGS, poolStates, tokenNorms } from './pooling.js';

/** Texts of these token states, padded with numbers that must not be read. */
function padded(texts: number[][][], padding = 1e30): BatchStates {
  const hidden = texts[0][0].length;
  const length = Math.max(...texts.map((t) => t.length));
  const states = new Float32Array(texts.length * length * hidden).fill(padding);
  texts.forEach((tokens, i) => {
    tokens.forEach((state, t) => {
      states.set(state, (i * length + t) * hidden);
    });
  });
  return {
    states,
    place: Int32Array.from({ length: texts.length * length }, (_, at) => at),
    lengths: Int32Array.from(texts, (t) => t.length),
    padded: length,
    hidden,
  };
}

const norm = (state: number[]) => Math.sqrt(state.reduce((s, x) => s + x * x, 0));
const average = (states: number[][]) => states[0].map((_, i) => states.reduce((s, x) => s + x[i], 0) / states.length);

/** The definitions of docs/paper.md section 2, word for word. */
function naive(tokens: number[][], threshold: number) {
  const content = tokens.filter((state, t) => t > 0 && norm(state) <= threshold);
  const others = tokens
    .slice(1)
    .map(norm)
    .sort((a, b) => a - b);
  const half = others.length / 2;
  return {
    last: tokens.at(-1)!,
    mean: average(tokens),
    content: content.length ? average(content) : tokens.at(-1)!,
    norms: [norm(tokens[0]), others.length % 2 ? others[half - 0.5] : (others[half - 1] + others[half]) / 2],
  };
}

describe('poolStates', () => {
  for (const hidden of [1, 3, 4, 37])
    test(`agrees with the definitions on random batches of width ${hidden}`, () => {
      const random = new Random(hidden);
      const texts = Array.from({ length: 20 }, () =>
        Array.from({ length: 1 + random.below(9) }, (_, t) => {
          const size = t === 0 ? 100 : random.uniform() < 0.2 ? 30 : 1;
          return Array.from(Float32Array.from({ length: hidden }, () => random.normal() * size));
        }),
      );
      const threshold = 4 * Math.sqrt(hidden);
      const { pooled, norms } = poolStates(padded(texts), threshold, POOLINGS);
      texts.forEach((tokens, i) => {
        const expected = naive(tokens, threshold);
        for (const pooling of POOLINGS)
          for (let j = 0; j < hidden; j++)
            expect(pooled[pooling]![i * hidden + j], `${pooling} of text ${i}`).toBe(Math.fround(expected[pooling][j]));
        expect(norms[2 * i]).toBeCloseTo(expected.norms[0], 4);
        if (tokens.length === 1) expect(norms[2 * i + 1]).toBeNaN();
        else expect(norms[2 * i + 1]).toBeCloseTo(expected.norms[1], 4);
      });
    });

  test('keeps a small signal beside a huge constant: sums are fp64', () => {
    const tokens = Array.from({ length: 64 }, (_, t) => [t === 0 ? 0 : 35_000 + (t % 2) * 0.25]);
    const { content } = poolStates(padded([tokens]), Number.POSITIVE_INFINITY, ['content']).pooled;
    const exact = 35_000 + (0.25 * 32) / 63;
    expect(content![0]).toBe(Math.fround(exact));
  });

  test('position 0 is a sink whatever its norm, and a norm on the threshold is none', () => {
    const { pooled } = poolStates(padded([[[1], [5], [6], [2]]]), 5, POOLINGS);
    expect(pooled.content![0]).toBe(3.5);
    expect(pooled.mean![0]).toBe(3.5);
    expect(pooled.last![0]).toBe(2);
  });

  test('a text of nothing but sinks has its last state as content', () => {
    const { pooled, norms } = poolStates(padded([[[7]], [[7], [80], [90]]]), 5, ['content']);
    expect([...pooled.content!]).toEqual([7, 90]);
    expect(norms[1]).toBeNaN();
    expect(pooled.mean).toBeUndefined();
  });
});

test('texts that begin alike may share rows', () => {
  const apart = padded([
    [[7], [1], [2]],
    [[7], [1], [4], [6]],
  ]);
  const states = Float32Array.of(7, 1, 2, 4, 6);
  const shared = { ...apart, states, place: Int32Array.of(0, 1, 2, 2, 0, 1, 3, 4) };
  expect(poolStates(shared, 5, POOLINGS)).toEqual(poolStates(apart, 5, POOLINGS));
  expect(tokenNorms(shared)).toEqual(tokenNorms(apart));
});

test('tokenNorms leaves the padding out', () => {
  expect(
    tokenNorms(
      padded([
        [[3, 4]],
        [
          [0, 1],
          [6, 8],
        ],
      ]),
    ).map((n) => [...n]),
  ).toEqual([[5], [1, 10]]);
});

test('median sorts by value and takes the middle', () => {
  expect(median(Float64Array.of(10, 9, 100))).toBe(10);
  expect(median(Float64Array.of(4, 1, 3, 2))).toBe(2.5);
  expect(median(new Float64Array())).toBeNaN();
});
