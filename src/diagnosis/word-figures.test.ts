import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MatMul } from '../graph/matmul.js';
import type { Corpus } from '../moral/corpus.js';
import { Random } from '../random.js';
import { designOf } from './design.js';
import { JudgedTexts } from './judged-texts.js';
import { randomCorpus } from './planted.test.support.js';
import { annotationCeiling, wordFigures } from './word-figures.js';

let matmul: MatMul;
beforeAll(async () => {
  matmul = await MatMul.open(1);
});
afterAll(() => matmul.close());

describe('the bag of words', () => {
  const corpus = randomCorpus(300, 7);
  const design = designOf(JudgedTexts.of(corpus), { seed: 1, permutations: 60, bootstraps: 40 });

  test('finds nothing in words drawn at random', async () => {
    const { floor, auc } = await wordFigures(corpus.texts, design, matmul);
    expect(floor.value).toBeLessThan(0.05);
    expect(auc.p).toBeGreaterThan(0.05);
  });

  test('finds a word that gives the judgment away', async () => {
    const valence = JudgedTexts.of(corpus).valence();
    const told = corpus.texts.map((text, i) => `${text} ${valence[i] > 0 ? 'gladly' : valence[i] < 0 ? 'harshly' : 'daily'}`);
    const { auc, floor } = await wordFigures(told, design, matmul);
    expect(auc.value).toBeGreaterThan(0.95);
    expect(auc.p).toBeCloseTo(1 / 61, 12);
    expect(floor.p).toBeLessThan(0.1);
  });

  test('says why where no word repeats', async () => {
    const { auc, floor, ceiling } = await wordFigures(
      corpus.texts.map((_, i) => `w${i}`),
      design,
      matmul,
    );
    expect([auc.why, floor.why]).toEqual(Array(2).fill('no word occurs in two training texts'));
    expect(ceiling.why).toContain('no text has more than one annotation');
  });
});

describe('what repeated annotation allows', () => {
  /** Texts of care-harm, each with its annotations' judgments. */
  function annotated(judgments: number[][]): JudgedTexts {
    const rows = judgments.flatMap((list, text) => list.map((signed) => ({ text, signed })));
    const corpus: Corpus = {
      name: 'annotated',
      authored: false,
      sha256: '',
      texts: judgments.map((_, i) => `text ${i}`),
      rows: {
        length: rows.length,
        text: Int32Array.from(rows, ({ text }) => text),
        annotation: Int32Array.from(rows.keys()),
        foundation: new Uint8Array(rows.length),
        signed: Float32Array.from(rows, ({ signed }) => signed),
      },
    };
    return JudgedTexts.of(corpus);
  }

  const ceiling = (judgments: number[][]) => {
    const texts = annotated(judgments);
    return annotationCeiling(texts, designOf(texts, { seed: 1, permutations: 0, bootstraps: 0 }).targets[0]);
  };

  test('1 - (noise of a mean) / (variance of the means), by hand', () => {
    // 40 texts judged 1 and .5, 40 judged 0 and 0: means .75 and 0; variance of the means .140625. Sum of squares within
    // 40 * .125 = 5 over 80 degrees of freedom; a mean of two has half of that noise.
    const judgments = Array.from({ length: 80 }, (_, i) => (i < 40 ? [1, 0.5] : [0, 0]));
    expect(ceiling(judgments).value).toBeCloseTo(1 - 5 / 80 / 2 / 0.140625, 6);
  });

  test('equal annotations allow everything, quarrels nothing', () => {
    expect(ceiling(Array.from({ length: 60 }, (_, i) => Array(3).fill(i % 2 ? 1 : -0.5))).value).toBeCloseTo(1, 9);
    expect(ceiling(Array.from({ length: 60 }, (_, i) => (i % 2 ? [1, 0.25] : [0.125, 1]))).value).toBe(0);
  });

  test('annotators who agree on nothing but the sign leave next to nothing, tags included', () => {
    const random = new Random(4);
    const tags = Array.from({ length: 6000 }, () => random.below(5));
    const texts = JudgedTexts.of({
      name: 'noise',
      authored: false,
      sha256: '',
      texts: Array.from({ length: 3000 }, (_, i) => `text ${i}`),
      rows: {
        length: 6000,
        text: Int32Array.from(tags, (_, i) => i >> 1),
        annotation: Int32Array.from(tags.keys()),
        foundation: Uint8Array.from(tags),
        signed: new Float32Array(6000).fill(0.5),
      },
    });
    const { value } = annotationCeiling(texts, designOf(texts, { seed: 1, permutations: 0, bootstraps: 0 }).targets[0]);
    expect(value).toBeLessThan(0.1);
  });

  test('it says why there is none', () => {
    const few = Array.from({ length: 80 }, (_, i) => (i < 29 ? [1, 0.5] : [0.5]));
    expect(ceiling(few)).toEqual({ value: null, why: expect.stringContaining('only 29 texts') });
    expect(ceiling(Array.from({ length: 60 }, () => [0, 0]))).toEqual({
      value: null,
      why: expect.stringContaining('no pole varies'),
    });
  });
});
