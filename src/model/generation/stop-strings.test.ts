import { describe, expect, test } from 'vitest';
import { Random } from '../../random.js';
import { StopStrings } from './stop-strings.js';

describe('however a text is cut into pieces, it ends before the stop string that is whole first', () => {
  const texts = ['abcabd', 'aab', 'ababac', '\n\nUser:', '\nUs', 'xyz', '', 'abababab', 'The end.\n\n'];
  const sets = [['abd'], ['ab', 'abc'], ['bab', 'ababac'], ['\n\nUser:', '\n\n'], ['z', 'yz', 'xyz'], ['aaaa'], ['.\n\n']];
  const random = new Random(1);

  test.each(sets)('%j %j', (...strings: string[]) => {
    const given = strings.filter((string) => string !== undefined);
    for (const text of texts) {
      const present = given.filter((string) => text.includes(string));
      const ends = present.map((string) => text.indexOf(string) + string.length);
      const first = present.filter((_, i) => ends[i] === Math.min(...ends)).map((string) => text.indexOf(string));
      const whole = present.length > 0 ? text.slice(0, Math.min(...first)) : text;
      for (let time = 0; time < 30; time++) {
        const stops = new StopStrings(given);
        let [out, from] = ['', 0];
        while (from < text.length) {
          const to = from + 1 + random.below(3);
          out += stops.push(text.slice(from, to));
          expect(whole.startsWith(out)).toBe(true);
          from = to;
        }
        const found = stops.found;
        out += stops.end();
        expect(out).toBe(whole);
        expect(found === undefined).toBe(present.length === 0);
        if (found !== undefined) expect(text.startsWith(found, whole.length)).toBe(true);
      }
    }
  });
});

test('holds back no more than may begin a stop string', () => {
  const stops = new StopStrings(['\nUser:']);
  expect(stops.push('Yes.\nUs')).toBe('Yes.');
  expect(stops.push('ually')).toBe('\nUsually');
  expect(stops.push(' so.\n')).toBe(' so.');
  expect(stops.push('User: but')).toBe('');
  expect(stops.found).toBe('\nUser:');
  expect(stops.push('more')).toBe('');
  expect(stops.end()).toBe('');
});
