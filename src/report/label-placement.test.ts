import { expect, test } from 'vitest';
import { POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { labelBox, type NamedPoint, placeLabels, pointBox } from './label-placement.js';

type Box = ReturnType<typeof pointBox>;
const overlap = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

test('a lone label stands beside its point, on the side it prefers', () => {
  expect(placeLabels([{ x: 0, y: 0, text: 'care', prefers: -1 }])).toEqual([{ side: -1, dx: -9, dy: 0 }]);
});

test.each(Array.from({ length: 20 }, (_, seed) => seed))('ten labels of crowded points cover nothing (%i)', (seed) => {
  const random = new Random(seed, 'labels');
  const points = POLES.map((text, i): NamedPoint => {
    const crowd = i < 4 ? 10 : 130;
    return { x: crowd * random.normal(), y: crowd * random.normal(), text, prefers: random.below(2) ? 1 : -1 };
  });
  const labels = placeLabels(points).map((label, i) => labelBox(points[i], label));
  for (const [i, label] of labels.entries()) {
    for (const point of points) expect(overlap(label, pointBox(point))).toBe(false);
    for (const other of labels.slice(0, i)) expect(overlap(label, other)).toBe(false);
  }
});

test('points in one place still get their labels', () => {
  const labels = placeLabels(POLES.map((text) => ({ x: 5, y: 5, text, prefers: 1 as const })));
  expect(new Set(labels.map(({ side, dy }) => `${side} ${dy}`)).size).toBe(10);
});
