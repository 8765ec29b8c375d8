import { describe, expect, test } from 'vitest';
import { nearestName } from './nearest.js';

const known = ['smollm2-135m', 'gemma3-270m', 'social-chem-101', 'starter', 'flames'];

describe('nearestName', () => {
  test.each([
    ['smolm2-135m', 'smollm2-135m'],
    ['Smollm2-135M', 'smollm2-135m'],
    ['gemma-270m', 'gemma3-270m'],
    ['strater', 'starter'],
    ['social', 'social-chem-101'],
    ['social_chem_101', 'social-chem-101'],
    ['flame', 'flames'],
  ])('%s -> %s', (wanted, found) => {
    expect(nearestName(wanted, known)).toBe(found);
  });

  test('nothing near', () => {
    expect(nearestName('qwen3-8b', known)).toBeUndefined();
    expect(nearestName('', known)).toBeUndefined();
    expect(nearestName('ab', ['xy'])).toBeUndefined();
    expect(nearestName('starter', [])).toBeUndefined();
  });

  test('a swap of neighbours counts as one edit', () => {
    expect(nearestName('abdc', ['abcdef', 'abcd'])).toBe('abcd');
    expect(nearestName('ab', ['ba', 'xy'])).toBe('ba');
  });
});
