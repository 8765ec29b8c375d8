import { describe, expect, test } from 'vitest';
import { paperClass, paperFineTuned } from './paper-rules.js';

const fineTuned = (r: Float64Array) => [...paperFineTuned(r, 10).keys()].sort((a, b) => a - b);
const zeros = (changes: Record<number, number>) => Array.from({ length: 10 }, (_, pole) => changes[pole] ?? 0);

describe('the reporting rule, worked by hand', () => {
  test.each([
    ['nothing', {}, 'weak'],
    ['all below .05', { 0: 0.049, 7: -0.0499 }, 'weak'],
    ['not a number', { 3: Number.NaN }, 'weak'],
    ['exactly .05 is not weak, and not above .1 either', { 0: 0.05 }, 'poly'],
    ['between the two', { 0: 0.08, 5: -0.09 }, 'poly'],
    ['exactly .1 is not above it', { 2: 0.1 }, 'poly'],
    ['one', { 2: 0.11, 4: 0.09 }, 'mono'],
    ['one, negative', { 9: -0.2 }, 'mono'],
    ['an opposed pair, care and harm', { 0: 0.3, 1: -0.2 }, 'mono'],
    ['an opposed pair of one sign: a topic', { 6: 0.15, 7: 0.12 }, 'mono'],
    ['two neighbours that are no pair, harm and fairness', { 1: 0.3, 2: 0.3 }, 'poly'],
    ['two virtues', { 0: 0.3, 2: 0.2 }, 'poly'],
    ['a pair and a third', { 0: 0.3, 1: -0.2, 8: 0.11 }, 'poly'],
  ] as const)('%s', (_, r, expected) => {
    expect(paperClass(zeros(r))).toBe(expected);
  });
});

describe('the fine-tuned set, worked by hand', () => {
  const latents = (...rows: Record<number, number>[]) => Float64Array.from(rows.flatMap(zeros));

  test('dominance of the largest |r|, of either sign', () => {
    const r = latents({ 0: 0.1 }, { 1: -0.16, 3: 0.1 }, { 1: -0.15, 3: 0.1 }, { 4: -0.5, 5: -0.5 }, { 2: -0.11 });
    expect(fineTuned(r)).toEqual([1, 4]);
    expect(paperFineTuned(r, 10).get(1)).toEqual({ pole: 1, rule: 'dominant' });
  });

  test('the 50 largest positive r of a pole above .1, whatever else they do', () => {
    const many = Array.from({ length: 60 }, (_, i) => ({ 6: 0.2 + i / 1000, 7: 0.2 + i / 1000 }));
    // Nothing dominates: the first ten of the sixty are beyond the 50.
    expect(fineTuned(latents(...many))).toEqual(Array.from({ length: 50 }, (_, i) => 10 + i));
    expect(fineTuned(latents({ 6: 0.1, 7: 0.1 }, { 6: 0.11, 7: 0.11 }))).toEqual([1]);
  });
});
