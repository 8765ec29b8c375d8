import * as Plot from '@observablehq/plot';
import type { Diagnosis } from '../diagnosis/schema.js';
import { POLES } from '../moral/foundation.js';
import { draw } from './drawing.js';
import { type NamedPoint, placeLabels } from './label-placement.js';
import { html, type Markup } from './markup.js';
import { CIRCLE, TRIANGLE } from './swatch.js';

const WIDTH = 440;
const HIGHEST = 340;
const MARGIN_X = 88;
const MARGIN_Y = 24;

type Point = Diagnosis['map']['points'][number];

const isVirtue = (p: Point) => POLES.indexOf(p.pole) % 2 === 0;
const partner = (points: Point[], p: Point) => points.find((q) => POLES.indexOf(q.pole) === (POLES.indexOf(p.pole) ^ 1));

/** The ten prototypes in the plane, poles of a foundation joined by a line; circles are virtues, triangles vices. */
export function prototypeMap(points: Point[], place: string): Markup {
  if (points.length < 2) return html`<p class="none">Empty: fewer than two poles have a prototype.</p>`;
  const middle = (values: number[]) => (Math.min(...values) + Math.max(...values)) / 2;
  const [x, y] = [middle(points.map((p) => p.x)), middle(points.map((p) => p.y))];
  const wide = Math.max(...points.map((p) => Math.abs(p.x - x)));
  const high = Math.max(...points.map((p) => Math.abs(p.y - y)));
  const scale = Math.min((WIDTH - 2 * MARGIN_X) / (2 * wide || 1), HIGHEST / (2 * high || 1));
  const [halfX, halfY] = [(WIDTH - 2 * MARGIN_X) / (2 * scale), Math.max(high, 40 / scale)];
  const pairs = points.flatMap((p) => {
    const other = partner(points, p);
    return isVirtue(p) && other ? [{ virtue: p, vice: other }] : [];
  });
  type Pair = (typeof pairs)[number];
  const named = points.map((p): NamedPoint => {
    const other = partner(points, p);
    return { x: (p.x - x) * scale, y: (y - p.y) * scale, text: p.pole, prefers: other && other.x > p.x ? -1 : 1 };
  });
  const labels = placeLabels(named).map((label, i) => ({ ...label, ...points[i] }));
  type Label = (typeof labels)[number];
  const at = { x: 'x', y: 'y' };
  const picture = draw(`Map of the prototypes, ${place}`, {
    style: { fontSize: '12px' },
    width: WIDTH,
    height: 2 * halfY * scale + 2 * MARGIN_Y,
    marginLeft: MARGIN_X,
    marginRight: MARGIN_X,
    marginTop: MARGIN_Y,
    marginBottom: MARGIN_Y,
    x: { domain: [x - halfX, x + halfX], axis: null },
    y: { domain: [y - halfY, y + halfY], axis: null },
    marks: [
      Plot.link(pairs, {
        x1: (p: Pair) => p.virtue.x,
        y1: (p: Pair) => p.virtue.y,
        x2: (p: Pair) => p.vice.x,
        y2: (p: Pair) => p.vice.y,
        stroke: 'currentColor',
        strokeOpacity: 0.35,
        strokeWidth: 1.25,
      }),
      Plot.link(
        labels.filter((l) => l.dy !== 0),
        {
          x1: 'x',
          y1: 'y',
          x2: (l: Label) => l.x + l.dx / scale,
          y2: (l: Label) => l.y - l.dy / scale,
          stroke: 'currentColor',
          strokeOpacity: 0.7,
          strokeWidth: 0.75,
        },
      ),
      labels.map((l) =>
        Plot.text([l], {
          ...at,
          text: 'pole',
          textAnchor: l.side < 0 ? 'end' : 'start',
          dx: l.dx + 2 * l.side,
          dy: l.dy,
          stroke: 'var(--page)',
          strokeWidth: 3,
          fill: 'currentColor',
        }),
      ),
      Plot.dot(points.filter(isVirtue), { ...at, symbol: 'circle', r: 5.5, fill: 'var(--value)', title: 'pole' }),
      Plot.dot(
        points.filter((p) => !isVirtue(p)),
        { ...at, symbol: 'triangle', r: 5, fill: 'var(--page)', stroke: 'var(--second)', strokeWidth: 2, title: 'pole' },
      ),
    ],
  });
  return html`${picture}
<ul class="legend"><li>${CIRCLE} virtue</li><li>${TRIANGLE} vice</li><li>line: the two poles of a foundation</li></ul>`;
}
