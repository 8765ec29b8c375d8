import * as Plot from '@observablehq/plot';
import type { Figure } from '../diagnosis/schema.js';
import { draw } from './drawing.js';
import { figureLine, intervalText, tickText, valueText } from './figure-text.js';
import type { Markup } from './markup.js';

export interface IntervalRow {
  name: string;
  figure: Figure;
  /** Drawn hollow: something to compare with, or a value not told from chance. */
  hollow?: boolean;
}

export interface IntervalRows {
  label: string;
  rows: IntervalRow[];
  /** The value that means "nothing": 0 for a correlation, .5 for an AUC. */
  reference: number;
  /** Names on the left and numbers on the right; without them the rows are bare glyphs. */
  labelled: boolean;
  width: number;
}

function extent(rows: IntervalRow[], reference: number): [number, number] {
  const all = rows.flatMap(({ figure: f }) => [
    f.value,
    ...(f.ci95 ?? []),
    ...(f.null ? [f.null.q025, f.null.q975] : []),
    f.detectable,
  ]);
  const values = [reference, ...all.filter((v) => v !== null && v !== undefined)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.06 * (high - low || 1);
  return [low - margin, high + margin];
}

/** Rows of null band, interval and point on one axis; the vertical tick is the smallest effect the sample would have shown. */
export function intervalRows({ label, rows, reference, labelled, width }: IntervalRows): Markup {
  const shown = rows.filter((r) => r.figure.value !== null);
  const rowHeight = labelled ? 26 : 24;
  const row = { y: 'name' };
  return draw(`${label}: ${rows.map((r) => `${r.name} ${figureLine(r.figure)}`).join('; ')}`, {
    width,
    height: rowHeight * rows.length + 26,
    marginLeft: labelled ? 122 : 8,
    marginRight: labelled ? 100 : 8,
    marginTop: 4,
    marginBottom: 22,
    x: { domain: extent(rows, reference), ticks: 5, tickFormat: tickText, label: null, tickSize: 3 },
    y: { type: 'band', domain: rows.map((r) => r.name), label: null, tickSize: 0, axis: labelled ? 'left' : null },
    marks: [
      Plot.ruleX([reference], { strokeOpacity: 0.7 }),
      Plot.ruleY(shown, {
        ...row,
        x1: (r: IntervalRow) => r.figure.null?.q025,
        x2: (r: IntervalRow) => r.figure.null?.q975,
        stroke: 'var(--null)',
        strokeWidth: 14,
      }),
      Plot.tickX(
        shown.filter((r) => r.figure.detectable !== undefined),
        {
          ...row,
          x: (r: IntervalRow) => r.figure.detectable,
          stroke: 'currentColor',
          strokeDasharray: '2 1.5',
          inset: 3,
        },
      ),
      Plot.ruleY(shown, {
        ...row,
        x1: (r: IntervalRow) => r.figure.ci95?.[0],
        x2: (r: IntervalRow) => r.figure.ci95?.[1],
        stroke: 'var(--value)',
        strokeWidth: 2.5,
      }),
      Plot.dot(shown, {
        ...row,
        x: (r: IntervalRow) => r.figure.value ?? undefined,
        r: 4.5,
        fill: (r: IntervalRow) => (r.hollow ? 'var(--page)' : 'var(--value)'),
        stroke: 'var(--value)',
        strokeWidth: 1.75,
        title: (r: IntervalRow) => figureLine(r.figure),
      }),
      labelled
        ? Plot.text(rows, {
            ...row,
            frameAnchor: 'right',
            textAnchor: 'start',
            dx: 8,
            text: ({ figure }: IntervalRow) => [valueText(figure), intervalText(figure)].filter(Boolean).join(' '),
          })
        : null,
    ],
    color: { type: 'identity' },
  });
}
