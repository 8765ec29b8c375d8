import * as Plot from '@observablehq/plot';
import type { Diagnosis } from '../diagnosis/schema.js';
import { POLES } from '../moral/foundation.js';
import { draw } from './drawing.js';
import { html, type Markup } from './markup.js';
import { CIRCLE, TRIANGLE } from './swatch.js';

const WIDTH = 440;
const HIGHEST = 340;
const MARGIN_X = 88;
const MARGIN_Y = 24;
const LINE = 14;

type Point = Diagnosis['map']['points'][number];
interface Label extends Point {
  /** -1: the text stands to the left of its point; 1: to the right. */
  side: -1 | 1;
  /** Pixels below the point's own height. */
  shift: number;
}

const isVirtue = (p: Point) => POLES.indexOf(p.pole) % 2 === 0;
const partner = (points: Point[], p: Point) => points.find((q) => POLES.indexOf(q.pole) === (POLES.indexOf(p.pole) ^ 1));

/** Puts each label on the side away from its pair's line, and lower where it would cover one that stands there already. */
function placeLabels(points: Point[], pixelsPerUnit: number): Label[] {
  const placed: (Label & { left: number; top: number; wide: number })[] = [];
  for (const p of [...points].sort((a, b) => b.y - a.y || a.x - b.x)) {
    const other = partner(points, p);
    const side = other && other.x > p.x ? -1 : 1;
    const wide = 7 * p.pole.length;
    const left = p.x * pixelsPerUnit + (side < 0 ? -wide - 8 : 8);
    let top = -p.y * pixelsPerUnit;
    const start = top;
    const covered = () => placed.find((q) => left < q.left + q.wide && q.left < left + wide && Math.abs(q.top - top) < LINE);
    for (let q = covered(); q; q = covered()) top = q.top + LINE;
    placed.push({ ...p, side, shift: top - start, left, top, wide });
  }
  return placed;
}

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
  const labels = placeLabels(points, scale);
  const at = { x: 'x', y: 'y' };
  const label = (side: Label['side']) =>
    labels
      .filter((l) => l.side === side)
      .map((l) =>
        Plot.text([l], {
          ...at,
          text: 'pole',
          textAnchor: side < 0 ? 'end' : 'start',
          dx: 9 * side,
          dy: Math.round(l.shift),
          stroke: 'var(--page)',
          strokeWidth: 3,
          fill: 'currentColor',
        }),
      );
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
      Plot.dot(points.filter(isVirtue), { ...at, symbol: 'circle', r: 5.5, fill: 'var(--value)', title: 'pole' }),
      Plot.dot(
        points.filter((p) => !isVirtue(p)),
        { ...at, symbol: 'triangle', r: 5, fill: 'var(--page)', stroke: 'var(--second)', strokeWidth: 2, title: 'pole' },
      ),
      ...label(-1),
      ...label(1),
    ],
  });
  return html`${picture}
<ul class="legend"><li>${CIRCLE} virtue</li><li>${TRIANGLE} vice</li><li>line: the two poles of a foundation</li></ul>`;
}
