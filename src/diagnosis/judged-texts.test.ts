import { describe, expect, test } from 'vitest';
import type { Corpus } from '../moral/corpus.js';
import { Random } from '../random.js';
import { JudgedTexts } from './judged-texts.js';

/** Rows as [text, annotation, foundation, signed]. */
function corpusOf(rows: [number, number, number, number][]): Corpus {
  return {
    name: 'table',
    authored: false,
    sha256: '',
    texts: Array.from({ length: 1 + Math.max(...rows.map(([text]) => text)) }, (_, i) => `text ${i}`),
    rows: {
      length: rows.length,
      text: Int32Array.from(rows, (r) => r[0]),
      annotation: Int32Array.from(rows, (r) => r[1]),
      foundation: Uint8Array.from(rows, (r) => r[2]),
      signed: Float32Array.from(rows, (r) => r[3]),
    },
  };
}

const table = corpusOf([
  [4, 10, 0, 0.5],
  [0, 0, 0, 1],
  [0, 1, 0, -0.5],
  [1, 2, 0, -1],
  [2, 3, 0, 0.25],
  [2, 3, 2, 0.25],
  [3, 4, 2, -0.75],
  [3, 4, 0, -0.75],
  [5, 6, 4, 0],
]);

describe('JudgedTexts', () => {
  const texts = JudgedTexts.of(table);

  test('holds one entry a text with a judgment, in the order of text ids', () => {
    expect([...texts.ids]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...JudgedTexts.of(table, [3, 1]).ids]).toEqual([1, 3]);
  });

  test('averages m over the rows of a foundation and leaves other foundations undefined', () => {
    const m = texts.moralVectors();
    const of = (slot: number, text: number) => m[slot * texts.length + text];
    expect(of(0, 0)).toBe(0.5);
    expect(of(1, 0)).toBe(0.25);
    expect(of(1, 1)).toBe(1);
    expect([of(0, 2), of(4, 2)]).toEqual([0.25, 0.25]);
    expect([of(1, 3), of(5, 3), of(8, 5), of(9, 5)]).toEqual([0.75, 0.75, 0, 0]);
    expect(of(4, 0)).toBeNaN();
    expect([...texts.valence()]).toEqual([0.25, -1, 0.25, -0.75, 0.5, 0]);
  });

  test('weights prototypes by summed m times the bootstrap count', () => {
    const into = new Float32Array(10 * texts.length);
    texts.weights({ signed: texts.signed, counts: Uint16Array.of(2, 0, 1, 3, 0, 0) }, into);
    expect([...into.subarray(0, 6)]).toEqual([2, 0, 0.25, 0, 0, 0]);
    expect([...into.subarray(6, 12)]).toEqual([1, 0, 0, 2.25, 0, 0]);
  });

  test('permutes whole texts, and only among texts of the same tags', () => {
    const seen = { swapped: 0, kept: 0 };
    for (let b = 0; b < 200; b++) {
      const drawn = texts.valence(texts.permuted(new Random(b)));
      // Two annotations with one tag each: alone in its stratum. Texts 1 and 4, and 2 and 3, may swap.
      expect(drawn[0]).toBe(0.25);
      expect(drawn[5]).toBe(0);
      expect([drawn[1], drawn[4]].sort()).toEqual([-1, 0.5].sort());
      expect([drawn[2], drawn[3]].sort()).toEqual([-0.75, 0.25]);
      seen[drawn[2] === 0.25 ? 'kept' : 'swapped']++;
    }
    expect(seen.swapped).toBeGreaterThan(60);
    expect(seen.kept).toBeGreaterThan(60);
  });

  test('a subset keeps the judgments of its texts', () => {
    const subset = texts.subset(Int32Array.of(3, 0));
    expect([...subset.ids]).toEqual([3, 0]);
    expect([...subset.valence()]).toEqual([-0.75, 0.25]);
    expect([...texts.ofOneFoundation()]).toEqual([0, 1, 4, 5]);
  });
});

test('judgments that cancel are neutral, and every annotation counts once whatever its tags', () => {
  const levels = corpusOf([
    [0, 0, 0, 0],
    [0, 1, 0, 0.125],
    [0, 2, 0, -0.125],
    [1, 3, 0, 0.5],
    [1, 3, 1, 0.5],
    [1, 3, 2, 0.5],
    [1, 4, 0, -1],
  ]);
  const texts = JudgedTexts.of(levels);
  expect([...texts.valence()]).toEqual([0, -0.25]);
  expect([texts.annotationsOf(0), texts.annotationsOf(1)]).toEqual([3, 2]);
});
