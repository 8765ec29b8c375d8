import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { type Corpus, contentHash } from './corpus.js';
import { diagnosticSample } from './sample.js';
import { LEVELS } from './vector.js';

type Judgment = [text: number, foundations: number[], signed: number];

function corpusOf(judgments: Judgment[]): Corpus {
  const flat = judgments.flatMap(([text, foundations, signed], annotation) =>
    foundations.map((foundation) => ({ text, annotation, foundation, signed })),
  );
  const rows = {
    length: flat.length,
    text: Int32Array.from(flat, (r) => r.text),
    annotation: Int32Array.from(flat, (r) => r.annotation),
    foundation: Uint8Array.from(flat, (r) => r.foundation),
    signed: Float32Array.from(flat, (r) => r.signed),
  };
  const texts = Array.from({ length: 1 + Math.max(...judgments.map(([text]) => text)) }, (_, i) => `text ${i}`);
  return { name: 'made up', authored: false, sha256: contentHash(texts, rows), texts, rows };
}

const cell = (corpus: Corpus, i: number) => `${corpus.rows.foundation[i]} ${corpus.rows.signed[i]}`;

function cellSizes(corpus: Corpus): Map<string, number> {
  const sizes = new Map<string, number>();
  for (let i = 0; i < corpus.rows.length; i++) sizes.set(cell(corpus, i), (sizes.get(cell(corpus, i)) ?? 0) + 1);
  return sizes;
}

/** Real data's way: many texts with one annotation, a few with many, one to three foundations, full agreement common. */
function large(): Corpus {
  const random = new Random(5);
  const levels = [0, 0, 0, ...LEVELS, 1, 1, 0.5, 0.5];
  const judgments: Judgment[] = [];
  for (let text = 0; text < 12_000; text++) {
    const times = random.below(20) === 0 ? 2 + random.below(12) : 1;
    for (let i = 0; i < times; i++) {
      const foundations = [...new Set(Array.from({ length: 1 + (random.below(3) >> 1) }, () => random.below(5)))].sort();
      const level = levels[random.below(levels.length)];
      judgments.push([text, foundations, (random.below(2) === 0 ? -level : level) + 0]);
    }
  }
  return corpusOf(judgments);
}

describe('diagnosticSample', () => {
  test('is the corpus itself where nothing exceeds the limits', () => {
    const judgments: Judgment[] = [];
    for (let i = 0; i < 300; i++) judgments.push([i, [0], 0.5], [300 + i, [0], 0]);
    for (let i = 0; i < 150; i++) judgments.push([600 + i, [1], -1]);
    const corpus = corpusOf(judgments);
    expect(diagnosticSample(corpus, 0)).toBe(corpus);
    expect(diagnosticSample(corpusOf([...judgments, [750, [1], -1]]), 0).rows.length).toBe(750);
    expect(diagnosticSample(corpusOf([...judgments, [750, [0], 0]]), 0).rows.length).toBe(750);
    expect(diagnosticSample(corpusOf([...judgments, [750, [0], 0.5]]), 0).rows.length).toBe(750);
    expect(diagnosticSample(corpusOf([...judgments, [750, [0], -0.5]]), 0).rows.length).toBe(751);
  });

  test('no cell exceeds its limit, and those with enough are filled', () => {
    const corpus = large();
    const before = cellSizes(corpus);
    const after = cellSizes(diagnosticSample(corpus, 0));
    expect([...before.values()].some((n) => n > 600)).toBe(true);
    for (const [key, total] of before) {
      const limit = Math.abs(Number(key.split(' ')[1])) === 1 ? 150 : 300;
      const n = after.get(key) ?? 0;
      expect(n).toBeLessThanOrEqual(limit);
      expect(n).toBeGreaterThanOrEqual(0.95 * Math.min(limit, total));
    }
  });

  test('texts are whole, in their order, and rows say what they said', () => {
    const corpus = large();
    const sample = diagnosticSample(corpus, 0);
    const id = new Map(corpus.texts.map((text, i) => [text, i]));
    const origin = sample.texts.map((text) => id.get(text)!);
    expect(origin).toEqual([...origin].sort((a, b) => a - b));
    const kept = new Set(origin);
    const rows = (c: Corpus, of: (text: number) => number) =>
      Array.from(c.rows.text, (text, i) => `${of(text)} ${cell(c, i)}`).filter((row) => kept.has(Number.parseInt(row, 10)));
    expect(rows(sample, (text) => origin[text])).toEqual(rows(corpus, (text) => text));
    expect(new Set(sample.rows.text).size).toBe(sample.texts.length);
    const annotations = new Set(sample.rows.annotation);
    expect(Math.max(...annotations)).toBe(annotations.size - 1);
    expect(sample.sha256).toBe(contentHash(sample.texts, sample.rows));
  });

  test('is the same for the same seed and another for another', () => {
    const corpus = large();
    expect(diagnosticSample(corpus, 1)).toEqual(diagnosticSample(corpus, 1));
    expect(diagnosticSample(corpus, 2).sha256).not.toBe(diagnosticSample(corpus, 1).sha256);
  });

  test('every text of a cell has the same chance', () => {
    const judgments = Array.from({ length: 900 }, (_, i): Judgment => [i, [0], 0.25]);
    const corpus = corpusOf(judgments);
    const taken = new Float64Array(900);
    const draws = 200;
    for (let seed = 0; seed < draws; seed++)
      for (const text of diagnosticSample(corpus, seed).texts) taken[Number(text.slice(5))]++;
    // Binomial(200, 1/3): mean 66.7, standard deviation 6.7; 900 texts stay within five of them.
    expect(Math.min(...taken)).toBeGreaterThan(33);
    expect(Math.max(...taken)).toBeLessThan(100);
  });
});
