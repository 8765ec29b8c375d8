import { expect, test } from 'vitest';
import { Random } from '../random.js';
import { addProbabilities, logProbs, surprisal } from './log-probs.js';

function naive(x: Float32Array): number {
  const largest = x.reduce((a, b) => Math.max(a, b));
  return largest + Math.log(x.reduce((sum, v) => sum + Math.exp(v - largest), 0));
}

test('logProbs picks the listed tokens of every row', () => {
  const logits = Float32Array.of(0, 0, 0, 0, 0, Math.log(2), 0, Math.log(4));
  const picked = logProbs(logits, 4, Int32Array.of(3, 0));
  expect(picked).toEqual(Float32Array.of(Math.log(1 / 4), Math.log(1 / 4), Math.log(1 / 2), Math.log(1 / 8)));
});

test('surprisal adds up what each token but the first was given, texts that begin alike sharing rows', () => {
  const random = new Random(3);
  const logits = Float32Array.from({ length: 4 * 5 }, () => random.normal() * 3);
  const minusLogP = (row: number, token: number) => naive(logits.subarray(5 * row, 5 * row + 5)) - logits[5 * row + token];
  // [3, 1, 4] and [3, 0], then padding; row 0 is the token 3 of both.
  const batch = { ids: Int32Array.of(3, 1, 4, 3, 0, 0, 2, 0, 0), lengths: Int32Array.of(3, 2, 1), length: 3 };
  const place = Int32Array.of(0, 1, 2, 0, 3, 3, 0, 0, 0);
  const found = surprisal(logits, 5, place, batch);
  const exact = [minusLogP(0, 1) + minusLogP(1, 4), minusLogP(0, 0), 0];
  for (const [text, nats] of exact.entries()) expect(found[text]).toBeCloseTo(nats, 12);
});

test('addProbabilities adds each row up to one', () => {
  const random = new Random(2);
  const logits = Float32Array.from({ length: 3 * 50 }, () => random.normal() * 5);
  const sum = new Float64Array(50);
  addProbabilities(logits, 50, sum);
  expect(sum.reduce((a, b) => a + b)).toBeCloseTo(3, 12);
  const first = new Float64Array(50);
  addProbabilities(logits.subarray(0, 50), 50, first);
  expect(first[7]).toBeCloseTo(Math.exp(logits[7] - naive(logits.subarray(0, 50))), 14);
});
