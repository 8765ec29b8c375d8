import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { distinctBeginnings, takeRows } from './token-rows.js';

describe('distinctBeginnings', () => {
  test('texts that begin alike share rows up to where they part, and padding has none', () => {
    const ids = Int32Array.of(5, 9, 9, 9, 5, 9, 2, 0, 9, 0, 0, 0, 5, 0, 0, 0);
    const rows = distinctBeginnings({ ids, lengths: Int32Array.of(4, 3, 1, 1), batch: 4, length: 4 });
    expect([...rows.ids]).toEqual([5, 9, 9, 9, 2, 9]);
    expect([...rows.positions]).toEqual([0, 1, 2, 3, 2, 0]);
    expect([...rows.place]).toEqual([0, 1, 2, 3, 0, 1, 4, 4, 5, 5, 5, 5, 0, 0, 0, 0]);
    expect([...rows.first]).toEqual([0, 1, 2, 3, 6, 8]);
  });

  test('two tokens share a row exactly where their texts agree up to them', () => {
    const random = new Random(3);
    const [batch, length] = [40, 6];
    const ids = Int32Array.from({ length: batch * length }, () => random.below(3) + 2 ** 31 - 4);
    const lengths = Int32Array.from({ length: batch }, () => 1 + random.below(length));
    const rows = distinctBeginnings({ ids, lengths, batch, length });
    const beginnings = new Map<string, number>();
    for (let text = 0; text < batch; text++)
      for (let t = 0; t < lengths[text]; t++) {
        const at = text * length + t;
        const beginning = ids.subarray(text * length, at + 1).join();
        if (!beginnings.has(beginning)) beginnings.set(beginning, beginnings.size);
        const row = beginnings.get(beginning)!;
        expect(rows.place[at]).toBe(row);
        expect([rows.ids[row], rows.positions[row]]).toEqual([ids[at], t]);
      }
    expect(rows.ids.length).toBe(beginnings.size);
    expect([...rows.first].map((at) => rows.place[at])).toEqual([...rows.ids.keys()]);
  });

  test('texts of different groups share no row, nor last tokens kept apart', () => {
    const ids = Int32Array.of(5, 9, 2, 5, 9, 2, 5, 9, 0, 5, 9, 2);
    const batch = { ids, lengths: Int32Array.of(3, 3, 2, 3), batch: 4, length: 3 };
    expect([...distinctBeginnings(batch, { groups: [1, 0, 1, 1] }).place]).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 1, 0, 1, 2]);
    const last = distinctBeginnings(batch, { last: true });
    expect([...last.place]).toEqual([0, 1, 2, 0, 1, 3, 0, 4, 4, 0, 1, 5]);
    expect([...last.ids]).toEqual([5, 9, 2, 2, 9, 2]);
    expect([...last.first]).toEqual([0, 1, 2, 5, 7, 11]);
    const both = distinctBeginnings(batch, { groups: [0, 1, 0, 1], last: true });
    expect([...both.place]).toEqual([0, 1, 2, 3, 4, 5, 0, 6, 6, 3, 4, 7]);
    expect([...both.positions]).toEqual([0, 1, 2, 0, 1, 2, 1, 2]);
  });
});

test('takeRows copies rows in the order asked for', () => {
  expect([...takeRows(Float32Array.of(1, 2, 3, 4, 5, 6), 2, Int32Array.of(2, 0, 2))]).toEqual([5, 6, 1, 2, 5, 6]);
});
