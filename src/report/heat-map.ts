import * as Plot from '@observablehq/plot';
import { POLES } from '../moral/foundation.js';
import { draw } from './drawing.js';
import { decimal } from './figure-text.js';
import type { Markup } from './markup.js';

/** Cosines between the ten prototypes, printed and coloured: orange alike, blue opposed; the opposed pairs are framed. */
export function heatMap(matrix: (number | null)[][], place: string): Markup {
  const cells = POLES.flatMap((row, i) =>
    POLES.map((column, j) => ({ row, column, value: matrix[i]?.[j] ?? null, self: i === j })),
  );
  type Cell = (typeof cells)[number];
  const size = Math.max(0.2, ...cells.filter((c) => !c.self).map((c) => Math.abs(c.value ?? 0)));
  const strength = (c: Cell) => (c.self ? 0.12 : Math.min(1, Math.abs(c.value ?? 0) / size));
  const pairs = cells.filter((c) => POLES.indexOf(c.row) === (POLES.indexOf(c.column) ^ 1));
  const at = { x: 'column', y: 'row' };
  return draw(`Cosines between the ten prototypes, ${place}`, {
    style: { fontSize: '12px' },
    width: 482,
    height: 420,
    marginLeft: 86,
    marginTop: 70,
    marginRight: 46,
    marginBottom: 4,
    padding: 0,
    x: { type: 'band', domain: POLES, axis: 'top', tickSize: 0, tickRotate: -45, label: null },
    y: { type: 'band', domain: POLES, tickSize: 0, label: null },
    color: { type: 'identity' },
    opacity: { type: 'identity' },
    marks: [
      Plot.cell(cells, {
        ...at,
        inset: 0.5,
        fill: (c: Cell) => (c.self || c.value === null ? 'var(--null)' : c.value < 0 ? 'var(--cool)' : 'var(--warm)'),
        fillOpacity: (c: Cell) => (c.value === null ? 0.25 : strength(c)),
        title: (c: Cell) => `${c.row} and ${c.column}: ${c.value === null ? 'empty, a pole has no prototype' : decimal(c.value)}`,
      }),
      Plot.cell(pairs, { ...at, inset: 0.5, fill: 'none', stroke: 'currentColor', strokeWidth: 1.5, pointerEvents: 'none' }),
      Plot.text(cells, {
        ...at,
        text: (c: Cell) => (c.self ? '' : c.value === null ? '×' : decimal(c.value)),
        fill: (c: Cell) => (!c.self && strength(c) > 0.6 ? 'var(--on-strong)' : 'currentColor'),
        pointerEvents: 'none',
      }),
    ],
  });
}
