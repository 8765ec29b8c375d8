import * as Plot from '@observablehq/plot';
import type { Figure } from '../diagnosis/schema.js';
import { draw } from './drawing.js';
import { decimal, figureLine } from './figure-text.js';
import { layerAxis } from './layer-axis.js';
import { html, type Markup } from './markup.js';

export interface StripRow {
  name: string;
  /** One figure a layer. */
  figures: Figure[];
}

export interface LayerStrip {
  title: string;
  layers: number[];
  rows: StripRow[];
  /** The size of a value that is drawn in full colour. */
  full: number;
  /** The direction that means the model tells apart; a value beyond the null on that side gets a dot. */
  better: 'lower' | 'higher';
}

/** The largest size of any value in the rows, at least a tenth. */
export function fullColor(rows: StripRow[]): number {
  return Math.max(0.1, ...rows.flatMap((r) => r.figures.map((f) => Math.abs(f.value ?? 0))));
}

const beyondNull = (f: Figure, better: LayerStrip['better']) =>
  f.value !== null && f.null !== undefined && (better === 'lower' ? f.value < f.null.q025 : f.value > f.null.q975);

/** Rows that are empty, by reason. */
function missingRows(rows: StripRow[]): Markup | null {
  const reasons = new Map<string, Set<string>>();
  for (const { name, figures } of rows)
    for (const f of figures)
      if (f.value === null) {
        const why = f.why ?? 'no reason given';
        reasons.set(why, (reasons.get(why) ?? new Set()).add(name));
      }
  if (reasons.size === 0) return null;
  return html`<p class="none">${[...reasons].map(([why, names]) => html`Empty (${[...names].join(', ')}): ${why}. `)}</p>`;
}

/** A compact heat strip: a row a pole or class, a column a layer; warm above zero, cool below. */
export function layerStrip({ title, layers, rows, full, better }: LayerStrip): Markup {
  const cells = rows.flatMap(({ name, figures }) =>
    figures.map((figure, i) => ({ name, layer: layers[i], value: figure.value, beyond: beyondNull(figure, better), figure })),
  );
  type Cell = (typeof cells)[number];
  const place = { x: 'layer', y: 'name' };
  const picture = draw(`${title}, rows over layers`, {
    width: 320,
    height: 15 * rows.length + 34,
    marginLeft: 12 + Math.ceil(5.6 * Math.max(...rows.map((r) => r.name.length))),
    marginRight: 6,
    marginTop: 2,
    marginBottom: 32,
    padding: 0,
    x: { ...layerAxis(layers), type: 'band', domain: layers },
    y: { type: 'band', domain: rows.map((r) => r.name), tickSize: 0, label: null },
    color: { type: 'identity' },
    opacity: { type: 'identity' },
    marks: [
      Plot.cell(cells, {
        ...place,
        inset: 0.4,
        fill: (c: Cell) => (c.value === null ? 'var(--page)' : c.value < 0 ? 'var(--cool)' : 'var(--warm)'),
        fillOpacity: (c: Cell) => Math.min(1, Math.abs(c.value ?? 1) / full),
        title: (c: Cell) => `${c.name}, layer ${c.layer}: ${figureLine(c.figure)}`,
      }),
      Plot.dot(
        cells.filter((c) => c.beyond),
        { ...place, r: 1.3, fill: 'currentColor', pointerEvents: 'none' },
      ),
      Plot.text(
        cells.filter((c) => c.value === null),
        { ...place, text: () => '×', fillOpacity: 0.5, pointerEvents: 'none' },
      ),
    ],
  });
  return html`<div class="panel"><h4>${title}</h4>${picture}${missingRows(rows)}</div>`;
}

/** What the colours and dots of the strips mean. */
export function stripLegend(full: number, better: LayerStrip['better']): Markup {
  return html`<ul class="legend"><li>${decimal(-full)} <span class="ramp"></span> ${decimal(full)}</li>
<li>• ${better === 'lower' ? 'below' : 'above'} the central 95% of its own null (single cells, not corrected for looking at many)</li>
<li>× empty</li></ul>`;
}
