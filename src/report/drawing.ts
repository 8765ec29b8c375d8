import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escapeText, type Markup, trusted } from './markup.js';

const { document } = parseHTML('<!doctype html><html lang="en"></html>');
const GEOMETRY = / (d|transform|x|y|x1|x2|y1|y2|cx|cy|r|width|height|font-size|fill-opacity)="([^"]*)"/g;

const rounded = (text: string) => text.replace(/-?\d+\.\d{3,}(e-?\d+)?/g, (n) => String(Math.round(Number(n) * 100) / 100));

/**
 * An Observable Plot as inline SVG. The page's style sheet stands in for the one Plot puts into every SVG, and coordinates
 * are rounded to 1/100 of a unit, which makes the file a third smaller and the bytes the same on every machine.
 *
 * @param label what the picture shows, for those who do not see it
 */
export function draw(label: string, options: Plot.PlotOptions): Markup {
  const svg = Plot.plot({ ...options, document, className: 'plot' });
  svg.querySelector('style')?.remove();
  const text: string = svg.outerHTML;
  // The serialiser leaves < and & in attributes as they are, so the label is written here.
  return trusted(
    text
      .replace(GEOMETRY, (_, name: string, value: string) => ` ${name}="${rounded(value)}"`)
      .replace('<svg', `<svg role="img" aria-label="${escapeText(label)}"`),
  );
}
