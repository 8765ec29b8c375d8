import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FOUNDATIONS, type Foundation, POLES } from './foundation.js';
import { LEVELS, moralVector, signedJudgment } from './vector.js';

const [header, ...lines] = readFileSync(new URL('../../fixtures/hand_worked.tsv', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n');
const names = header.split('\t');
const table = lines.map((line) => Object.fromEntries(line.split('\t').map((field, i) => [names[i], field])));

describe('moralVector', () => {
  test('the table has 20 rows', () => expect(table).toHaveLength(20));

  test.each(table.filter((row) => row.kept === '1'))('$action', (row) => {
    const tags = row['rot-moral-foundations'].split('|').map((tag) => FOUNDATIONS.indexOf(tag as Foundation));
    const vector = moralVector(signedJudgment(Number(row['action-moral-judgment']), Number(row['action-agree'])), tags);
    expect([...vector]).toEqual(POLES.map((pole) => Number(row[pole])));
  });

  test('all slots of one vector that are not 0 are the same and of one sign', () => {
    expect([...moralVector(-0.375, [4, 0])]).toEqual([0, 0.375, 0, 0, 0, 0, 0, 0, 0, 0.375]);
    expect(moralVector(1, [])).toEqual(new Float32Array(10));
  });
});

test('judgment and agreement give 0 and the six levels, with a sign, and no others', () => {
  const found = new Set<number>();
  for (let judgment = -2; judgment <= 2; judgment++)
    for (let agreement = 0; agreement <= 4; agreement++) {
      const signed = signedJudgment(judgment, agreement);
      expect(Object.is(signed, -0)).toBe(false);
      found.add(signed);
    }
  expect([...found].sort((a, b) => a - b)).toEqual([...LEVELS.map((l) => -l).reverse(), 0, ...LEVELS]);
});
