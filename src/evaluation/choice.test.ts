import { expect, test } from 'vitest';
import { bestOf } from './choice.js';

const candidate = (strength: number, auc: number | null, kl?: number) => ({
  mode: 'add' as const,
  sites: [],
  strength,
  auc,
  ...(kl !== undefined && { kl }),
});

test('the largest AUC is chosen, of equal ones that of the smaller strength', () => {
  expect(bestOf([candidate(0.5, 0.6), candidate(1, 0.7), candidate(2, null)])).toBe(1);
  expect(bestOf([candidate(1, 0.7), candidate(0.5, 0.7), candidate(2, 0.7)])).toBe(1);
  expect(bestOf([candidate(1, null)])).toBe(0);
});

test('what costs too much is left out, and where all does, the least of it taken', () => {
  const all = [candidate(0.25, 0.6, 0.01), candidate(0.5, 0.65, 0.04), candidate(1, 0.7, 0.2)];
  expect(bestOf(all, 0.05)).toBe(1);
  expect(bestOf(all, 0.2)).toBe(2);
  expect(bestOf(all.toReversed(), 0.001)).toBe(2);
});
