import * as Plot from '@observablehq/plot';
import type { Estimate, Spread } from '../evaluation/schema.js';
import { draw } from './drawing.js';
import { decimal, tickText } from './figure-text.js';
import type { Markup } from './markup.js';

/** A number with its interval, or what controls give: their middle 95%. */
export interface EstimateRow {
  name: string;
  estimate?: Estimate;
  controls?: Spread;
  /** Drawn hollow: something to compare with. */
  hollow?: boolean;
}

/** .71 [.68, .73]; why there is none, where there is none. */
export function estimateText({ value, ci95, why }: Estimate, digits = 2): string {
  if (value === null) return `empty: ${why ?? 'no reason given'}`;
  return `${decimal(value, digits)}${ci95 ? ` [${decimal(ci95[0], digits)}, ${decimal(ci95[1], digits)}]` : ''}`;
}

export const spreadText = ({ q025, q975 }: Spread, digits = 2) => `${decimal(q025, digits)} to ${decimal(q975, digits)}`;

function rowText({ estimate, controls }: EstimateRow): string {
  if (estimate) return estimate.value === null ? 'empty' : estimateText(estimate);
  return controls ? spreadText(controls) : '';
}

/** Rows on one axis: a point with its interval, or a grey band for controls with a tick at their mean. */
export function estimateRows(label: string, rows: readonly EstimateRow[], reference: number, width = 520): Markup {
  const ends = rows.flatMap(({ estimate, controls }) => [
    estimate?.value,
    ...(estimate?.ci95 ?? []),
    ...(controls ? [controls.q025, controls.q975] : []),
  ]);
  const values = [reference, ...ends.filter((end) => typeof end === 'number')];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.05 * (high - low || 1);
  const row = { y: 'name' };
  const [measured, bands] = [
    rows.filter(({ estimate }) => estimate && estimate.value !== null),
    rows.filter(({ controls }) => controls),
  ];
  return draw(`${label}: ${rows.map((one) => `${one.name} ${rowText(one)}`).join('; ')}`, {
    width,
    height: 25 * rows.length + 26,
    marginLeft: 158,
    marginRight: 104,
    marginTop: 4,
    marginBottom: 22,
    x: { domain: [low - margin, high + margin], ticks: 5, tickFormat: tickText, label: null, tickSize: 3 },
    y: { type: 'band', domain: rows.map(({ name }) => name), label: null, tickSize: 0 },
    color: { type: 'identity' },
    marks: [
      Plot.ruleX([reference], { strokeOpacity: 0.7 }),
      Plot.ruleY(bands, {
        ...row,
        x1: ({ controls }: EstimateRow) => controls!.q025,
        x2: ({ controls }: EstimateRow) => controls!.q975,
        stroke: 'var(--null)',
        strokeWidth: 14,
      }),
      Plot.tickX(bands, { ...row, x: ({ controls }: EstimateRow) => controls!.mean, stroke: 'currentColor', inset: 5 }),
      Plot.ruleY(measured, {
        ...row,
        x1: ({ estimate }: EstimateRow) => estimate!.ci95?.[0],
        x2: ({ estimate }: EstimateRow) => estimate!.ci95?.[1],
        stroke: 'var(--value)',
        strokeWidth: 2.5,
      }),
      Plot.dot(measured, {
        ...row,
        x: ({ estimate }: EstimateRow) => estimate!.value!,
        r: 4.5,
        fill: ({ hollow }: EstimateRow) => (hollow ? 'var(--page)' : 'var(--value)'),
        stroke: 'var(--value)',
        strokeWidth: 1.75,
      }),
      Plot.text([...rows], { ...row, frameAnchor: 'right', textAnchor: 'start', dx: 8, text: rowText }),
    ],
  });
}
