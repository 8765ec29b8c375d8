import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { type Column, maximumP } from './maximum.js';

const DRAWS = 39;
const COLUMNS = 40;

/** Columns of a null that share part of their noise, each of its own scale and place. */
function columns(random: Random): Column[] {
  const common = Float64Array.from({ length: DRAWS + 1 }, () => random.normal());
  return Array.from({ length: COLUMNS }, (_, c) => {
    const values = Float64Array.from(common, (shared) => 3 * c + 10 ** (c % 4) * (0.7 * shared + random.normal()));
    return { observed: values[0], permuted: values.slice(1) };
  });
}

describe('p of the maximum over columns', () => {
  test.each(['greater', 'less'] as const)('is uniform where nothing is there (%s)', (direction) => {
    const times = 1500;
    const ps = Array.from({ length: times }, (_, i) => maximumP(columns(new Random(i, 'null')), direction)!);
    for (const level of [0.05, 0.25, 0.5, 0.9]) {
      const below = ps.filter((p) => p <= level + 1e-9).length / times;
      expect(Math.abs(below - level)).toBeLessThan(3.5 * Math.sqrt((level * (1 - level)) / times));
    }
    expect(Math.min(...ps)).toBeGreaterThanOrEqual(1 / (DRAWS + 1));
  });

  test('finds a planted column, small beside the scale of others, in its own direction only', () => {
    const all = columns(new Random(1, 'planted'));
    all[4].observed = 3 * 4 + 12;
    expect(maximumP(all, 'greater')).toBe(1 / (DRAWS + 1));
    expect(maximumP(all, 'less')).toBeGreaterThan(0.05);
    all[4].observed = 3 * 4 - 12;
    expect(maximumP(all, 'less')).toBe(1 / (DRAWS + 1));
  });

  test('leaves out columns without a value or without spread', () => {
    const all = columns(new Random(2, 'gaps'));
    const p = maximumP(all, 'greater');
    const constant = { observed: 1, permuted: new Float64Array(DRAWS).fill(1) };
    const empty = { observed: Number.NaN, permuted: new Float64Array(DRAWS).fill(Number.NaN) };
    expect(maximumP([empty, ...all, constant], 'greater')).toBe(p);
    expect(maximumP([empty, constant], 'greater')).toBeUndefined();
    expect(maximumP([], 'greater')).toBeUndefined();
  });

  test('a column that a few permutations leave without a value still counts', () => {
    const all = columns(new Random(1, 'planted'));
    all[4].observed = 3 * 4 + 12;
    all[4].permuted[10] = Number.NaN;
    expect(maximumP(all, 'greater')).toBe(1 / (DRAWS + 1));
    all[4].permuted.fill(Number.NaN, 0, 20);
    expect(maximumP(all, 'greater')).toBe(maximumP(all.toSpliced(4, 1), 'greater'));
  });
});
