import * as Plot from '@observablehq/plot';
import type { Best, Figure } from '../diagnosis/schema.js';
import { draw } from './drawing.js';
import { figureLine, tickText } from './figure-text.js';
import { continuousLayerAxis, layerHover } from './layer-axis.js';
import { html, type Markup } from './markup.js';
import { bandSwatch, DIAMOND, lineSwatch } from './swatch.js';

/** How a line is drawn; told apart by dash as well as by colour. */
export const CURVE_STYLES = {
  value: { name: 'states as they are', stroke: 'var(--value)', dash: 'none', width: 2 },
  lengthRegressed: { name: 'length regressed out', stroke: 'var(--second)', dash: '5 3', width: 1.5 },
  baseline: { name: 'baseline', stroke: 'var(--third)', dash: '1.5 2.5', width: 1.75 },
  floor: { name: 'floor (bag of words)', stroke: 'var(--third)', dash: '1.5 2.5', width: 1.75 },
  ceiling: { name: 'ceiling (repeated annotation)', stroke: 'var(--fourth)', dash: '8 2 2 2', width: 1.5 },
} as const;
export type CurveStyle = keyof typeof CURVE_STYLES;

export interface LayerFigure {
  layer: number;
  figure: Figure;
}

export interface Curve {
  style: CurveStyle;
  points: LayerFigure[];
}

export interface LayerPanel {
  title: string;
  /** The first curve is drawn with its interval and null bands, the others as lines. */
  curves: Curve[];
  /** The value that means "nothing": 0 for a correlation, .5 for an AUC. */
  reference: number;
  /** Range of the vertical axis; what lies outside is drawn at its edge. */
  domain: [number, number];
  /** Marks the layer that was chosen, with the figure measured on the texts that did not choose it. */
  best?: Best;
  height: number;
}

/** The range that holds every value of the panels, the bands of the first curves and the reference; never below `floor`. */
export function curveDomain(
  panels: Pick<LayerPanel, 'curves' | 'best'>[],
  reference: number,
  floor = Number.NEGATIVE_INFINITY,
): [number, number] {
  let [low, high] = [reference, reference];
  const widen = (...values: (number | null | undefined)[]) => {
    for (const v of values) {
      if (v === null || v === undefined) continue;
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
  };
  for (const { curves, best } of panels) {
    widen(best?.figure.value, ...(best?.figure.ci95 ?? []));
    for (const [i, { points }] of curves.entries())
      for (const { figure } of points) {
        widen(figure.value);
        if (i === 0) widen(figure.ci95?.[0], figure.ci95?.[1], figure.null?.q025, figure.null?.q975);
      }
  }
  const margin = 0.05 * (high - low || 1);
  return [Math.max(floor, low < reference ? low - margin : low), high + margin];
}

/** Ascending whole numbers in words: `0, 3–7, 9`. */
function ranges(numbers: number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const n of numbers) {
    const run = runs.at(-1);
    if (run && run[1] === n - 1) run[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(', ');
}

/** Figures that are missing, by reason, as sentences; nothing where all are there. */
export function missingNote(points: LayerFigure[]): Markup | null {
  const reasons = new Map<string, number[]>();
  for (const { layer, figure } of points)
    if (figure.value === null) {
      const why = figure.why ?? 'no reason given';
      reasons.set(why, [...(reasons.get(why) ?? []), layer]);
    }
  if (reasons.size === 0) return null;
  return html`<p class="none">${[...reasons].map(
    ([why, layers]) => html`Empty at ${layers.length === points.length ? 'every layer' : `layer ${ranges(layers)}`}: ${why}. `,
  )}</p>`;
}

function bands(points: LayerFigure[]): Plot.Markish[] {
  const range = (low: (f: Figure) => number | undefined, high: (f: Figure) => number | undefined, color: string) => {
    const channels = { x: 'layer', y1: (p: LayerFigure) => low(p.figure), y2: (p: LayerFigure) => high(p.figure) };
    // An area needs two layers to have any width.
    return points.length > 1
      ? Plot.areaY(points, { ...channels, fill: color })
      : Plot.ruleX(points, { ...channels, stroke: color, strokeWidth: 14 });
  };
  return [
    range(
      (f) => f.null?.q025,
      (f) => f.null?.q975,
      'var(--null)',
    ),
    range(
      (f) => f.ci95?.[0],
      (f) => f.ci95?.[1],
      'var(--interval)',
    ),
  ];
}

function bestMarks(best: Best, layers: number[]): Plot.Markish[] {
  if (best.layer === null) return [];
  const points = [{ layer: best.layer, figure: best.figure }];
  const left = best.layer > (layers[0] + layers[layers.length - 1]) / 2;
  return [
    Plot.ruleX(points, { x: 'layer', stroke: 'currentColor', strokeOpacity: 0.5, strokeDasharray: '1 2' }),
    Plot.ruleX(
      points.filter((p) => p.figure.ci95),
      {
        x: 'layer',
        y1: (p: LayerFigure) => p.figure.ci95?.[0],
        y2: (p: LayerFigure) => p.figure.ci95?.[1],
        stroke: 'currentColor',
        strokeWidth: 1.5,
      },
    ),
    Plot.dot(points, {
      x: 'layer',
      y: (p: LayerFigure) => p.figure.value ?? undefined,
      symbol: 'diamond',
      r: 4.5,
      fill: 'var(--page)',
      stroke: 'currentColor',
      strokeWidth: 1.5,
    }),
    Plot.text(points, {
      x: 'layer',
      frameAnchor: 'top',
      text: (p: LayerFigure) => `best layer ${p.layer}`,
      textAnchor: left ? 'end' : 'start',
      dx: left ? -4 : 4,
      dy: -9,
    }),
  ];
}

/** One panel of curves over the layers: bands, lines, the best layer, and every number on hovering. */
export function layerCurves({ title, curves, reference, domain, best, height }: LayerPanel): Markup {
  const [main] = curves;
  const layers = main.points.map((p) => p.layer);
  const heading = html`<h4>${title}</h4>`;
  const note = missingNote(main.points);
  if (main.points.every((p) => p.figure.value === null)) return html`<div class="panel">${heading}${note}</div>`;
  const lines = curves
    .map(({ style, points }) => {
      const { stroke, dash, width } = CURVE_STYLES[style];
      const channels = { x: 'layer', y: (p: LayerFigure) => p.figure.value ?? undefined };
      return [
        Plot.lineY(points, { ...channels, stroke, strokeWidth: width, strokeDasharray: dash }),
        style === 'value' || points.length === 1 ? Plot.dot(points, { ...channels, r: 1.75, fill: stroke }) : null,
      ];
    })
    .reverse();
  const picture = draw(`${title}, by layer`, {
    width: 320,
    height,
    marginLeft: 38,
    marginRight: 8,
    marginTop: 18,
    marginBottom: 32,
    x: continuousLayerAxis(layers),
    y: { domain, clamp: true, ticks: 5, tickFormat: tickText, tickSize: 3, label: null, grid: true },
    marks: [
      ...bands(main.points),
      Plot.ruleY([reference], { strokeOpacity: 0.6 }),
      ...lines,
      ...(best ? bestMarks(best, layers) : []),
      layerHover(layers, (i) =>
        curves.map(({ style, points }) => `${CURVE_STYLES[style].name}: ${figureLine(points[i].figure)}`),
      ),
    ],
  });
  return html`<div class="panel">${heading}${picture}${note}</div>`;
}

/** What the lines, bands and marks of the panels mean; only those that are there, and why a line is not. */
export function curveLegend(panels: Pick<LayerPanel, 'curves' | 'best'>[]): Markup {
  const line = (style: CurveStyle, index: number) => {
    const { name, stroke, dash, width } = CURVE_STYLES[style];
    const figures = panels.flatMap((p) => p.curves[index].points.map((point) => point.figure));
    if (figures.some((f) => f.value !== null)) return html`<li>${lineSwatch(stroke, width, dash)} ${name}</li>`;
    return html`<li class="none">${name}: ${figureLine(figures[0])}</li>`;
  };
  const main = panels.flatMap((p) => p.curves[0].points.map((point) => point.figure));
  const items = [
    ...(panels[0]?.curves.map((c, i) => line(c.style, i)) ?? []),
    main.some((f) => f.ci95) && html`<li>${bandSwatch('var(--interval)')} its 95% interval</li>`,
    main.some((f) => f.null) && html`<li>${bandSwatch('var(--null)')} chance: central 95% of the null</li>`,
    panels.some((p) => p.best) && html`<li>${DIAMOND} best layer, chosen on other texts than it is measured on</li>`,
  ];
  return html`<ul class="legend">${items}</ul>`;
}
