import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { byLength, cutByCost, cutIntoBatches, padBatch, tokenise } from './batches.js';

/** One token a character. */
const letters = {
  encode: (text: string, { maxLength = Infinity } = {}) =>
    Int32Array.from({ length: Math.min(text.length, maxLength) }, (_, i) => text.charCodeAt(i)),
};
const all = (n: number) => Int32Array.from({ length: n }, (_, i) => i);

test('tokenise cuts long texts and counts them', async () => {
  const tokens = await tokenise(['ab', 'abcdef', '', 'abcd', 'x'.repeat(500)], letters, 4);
  expect([...tokens.offsets]).toEqual([0, 2, 6, 6, 10, 14]);
  expect(String.fromCharCode(...tokens.ids)).toBe('ababcdabcdxxxx');
  expect(tokens.truncated).toBe(2);
});

describe('batches', async () => {
  const random = new Random(5);
  const texts = Array.from({ length: 700 }, () => 'x'.repeat(1 + random.below(6) + random.below(25)));
  const tokens = await tokenise(texts, letters, 128);
  const sorted = byLength(tokens, all(texts.length));

  test('the longest texts come first, equal ones in their own order', () => {
    for (let i = 1; i < sorted.length; i++) {
      const [a, b] = [texts[sorted[i - 1]].length, texts[sorted[i]].length];
      expect(a > b || (a === b && sorted[i - 1] < sorted[i])).toBe(true);
    }
  });

  test('every text is in one batch, within the budget, with little padding', () => {
    const batches = cutIntoBatches(tokens, sorted, 256);
    expect(batches.flatMap((b) => [...b])).toEqual([...sorted]);
    let slots = 0;
    for (const batch of batches) {
      const { ids, lengths, batch: rows, length } = padBatch(tokens, batch);
      expect(ids.length).toBe(rows * length);
      expect(ids.length).toBeLessThanOrEqual(256);
      expect(Math.max(...lengths)).toBe(length);
      expect(Math.min(...lengths)).toBeGreaterThanOrEqual(Math.ceil((length * 7) / 8));
      slots += ids.length;
    }
    expect(slots / tokens.ids.length).toBeLessThan(1.02);
    expect(batches.length).toBeLessThan(80);
  });

  test('a text longer than the budget is run alone', () => {
    expect(cutIntoBatches(tokens, sorted, 3).every((b) => b.length === 1 || texts[b[0]].length * b.length <= 3)).toBe(true);
  });

  test('padding stands on the right', async () => {
    const three = await tokenise(['abc', 'de', 'f'], letters, 9);
    const { ids, lengths, length } = padBatch(three, all(3));
    expect([...ids]).toEqual([97, 98, 99, 100, 101, 0, 102, 0, 0]);
    expect([...lengths, length]).toEqual([3, 2, 1, 3]);
  });
});

test('cutByCost fills runs up to the budget, one text at least', () => {
  const cost = [5, 1, 1, 3, 9, 1];
  expect(cutByCost(all(6), (i) => cost[i], 5).map((r) => [...r])).toEqual([[0], [1, 2, 3], [4], [5]]);
  expect(cutByCost(all(0), () => 1, 5)).toEqual([]);
});
