import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { BagOfWords, words } from './bag-of-words.js';

const golden = JSON.parse(readFileSync(new URL('../../fixtures/statistics.golden.json', import.meta.url), 'utf8'));

test('words', () => {
  expect(words("Don’t lie: it's 'BAD', naïve café-owner 42!")).toEqual([
    "don't",
    'lie',
    "it's",
    'bad',
    'naïve',
    'café',
    'owner',
    '42',
  ]);
  expect(words('…')).toEqual([]);
});

test('as TfidfVectorizer', () => {
  const { training, texts, terms, matrix } = golden.bagOfWords as {
    training: string[];
    texts: string[];
    terms: string[];
    matrix: number[];
  };
  const bag = BagOfWords.fit(training, { minTexts: 2 });
  expect([...bag.vocabulary.keys()].sort()).toEqual([...terms].sort());
  const ours = bag.matrix(texts);
  texts.forEach((_, i) => {
    terms.forEach((term, j) => {
      expect(ours[i * bag.size + bag.vocabulary.get(term)!]).toBeCloseTo(matrix[i * terms.length + j], 6);
    });
  });
});

test('only training texts give terms, the most frequent ones within the limit', () => {
  const bag = BagOfWords.fit(['stealing a car', 'stealing a bike', 'a walk'], { minTexts: 1, limit: 3 });
  expect([...bag.vocabulary.keys()]).toEqual(['a', 'stealing', 'stealing a']);
  expect([...bag.matrix(['never seen', ''])]).toEqual([0, 0, 0, 0, 0, 0]);
});
