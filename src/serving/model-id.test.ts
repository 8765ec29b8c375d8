import { describe, expect, test } from 'vitest';
import { formatModelId, parseModelId } from './model-id.js';

describe('ids of a served model', () => {
  test.each([
    ['m', 'unsteered'],
    ['m+remedy', { remedy: 'remedy' }],
    ['m+remedy@0.6', { remedy: 'remedy', strength: 0.6 }],
    ['m+remedy:shuffled-00@.5', { remedy: 'remedy', arm: 'shuffled-00', strength: 0.5 }],
    ['m+lies:random-03-@-2', { remedy: 'lies', arm: 'random-03-', strength: -2 }],
    ['m+lies:random-03+', { remedy: 'lies', arm: 'random-03+' }],
  ])('%s', (id, expected) => {
    const parsed = parseModelId(id, 'm');
    expect(parsed).toEqual(expected);
    if (typeof parsed === 'object') expect(parseModelId(formatModelId('m', parsed), 'm')).toEqual(expected);
  });

  test('a model may have any name', () => {
    const name = 'hf:a/b+c@d:e';
    expect(parseModelId(name, name)).toBe('unsteered');
    expect(parseModelId(`${name}+remedy@1`, name)).toEqual({ remedy: 'remedy', strength: 1 });
  });

  test.each(['', 'M', 'm+', 'm+remedy@', 'm+remedy@much', 'm+remedy@1e3', 'm+remedy:', 'm+a+b', 'm@0.5', 'mm', 'm+r@1@2'])(
    '%j is none',
    (id) => {
      expect(parseModelId(id, 'm')).toBeUndefined();
    },
  );
});
