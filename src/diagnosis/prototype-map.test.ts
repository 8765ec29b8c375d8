import { expect, test } from 'vitest';
import { POLES } from '../moral/foundation.js';
import { prototypeMap } from './prototype-map.js';

/** A matrix in which only some poles have prototypes. */
function matrixOf(cosines: Record<string, number>): (number | null)[][] {
  const present = new Set(Object.keys(cosines).flatMap((pair) => pair.split(' ')));
  return POLES.map((a) =>
    POLES.map((b) => {
      if (!present.has(a) || !present.has(b)) return null;
      return a === b ? 1 : (cosines[`${a} ${b}`] ?? cosines[`${b} ${a}`]);
    }),
  );
}

test('reproduces the distances of three prototypes', () => {
  const cosines = { 'care harm': -0.6, 'care betrayal': 0.1, 'harm betrayal': 0.35 };
  const points = prototypeMap(matrixOf(cosines));
  expect(points.map(({ pole }) => pole)).toEqual(['care', 'harm', 'betrayal']);
  for (const [pair, cosine] of Object.entries(cosines)) {
    const [a, b] = pair.split(' ').map((name) => points.find(({ pole }) => pole === name)!);
    expect((a.x - b.x) ** 2 + (a.y - b.y) ** 2).toBeCloseTo(2 * (1 - cosine), 9);
  }
  expect(points.reduce((sum, { x }) => sum + x, 0)).toBeCloseTo(0, 9);
});

test('two prototypes lie on a line, one or none at the origin', () => {
  const [a, b] = prototypeMap(matrixOf({ 'care harm': -1 }));
  expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeCloseTo(2, 9);
  expect(prototypeMap(matrixOf({ 'loyalty loyalty': 1 }))).toEqual([{ pole: 'loyalty', x: 0, y: 0 }]);
  expect(prototypeMap(matrixOf({}))).toEqual([]);
});

test('equal prototypes fall together without NaN', () => {
  for (const { x, y } of prototypeMap(matrixOf({ 'care harm': 1, 'care loyalty': 1, 'harm loyalty': 1 })))
    expect(Math.hypot(x, y)).toBeLessThan(1e-6);
});
