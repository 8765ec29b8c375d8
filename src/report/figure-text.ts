import type { Figure } from '../diagnosis/schema.js';
import { html, type Markup } from './markup.js';

/** A statistic as papers print it: fixed decimals, no zero before the point, a true minus sign, none before zero. */
export function decimal(value: number, digits = 2): string {
  const text = value.toFixed(digits).replace(/^(-?)0\./, '$1.');
  return text.replace('-', Number(text) === 0 ? '' : '\u2212');
}

/** A tick of an axis, in the same style. */
export function tickText(value: number): string {
  const text = String(Number(value.toFixed(6)));
  return text.replace(/^(-?)0\./, '$1.').replace('-', '\u2212');
}

/** Two decimals, three where all numbers of the figure are below a tenth. */
function digitsOf(figure: Figure): number {
  const sizes = [figure.value ?? 0, ...(figure.ci95 ?? [])].map(Math.abs);
  return Math.max(...sizes) < 0.1 ? 3 : 2;
}

export const valueText = (figure: Figure) => (figure.value === null ? 'empty' : decimal(figure.value, digitsOf(figure)));

function range(figure: Figure, low: number, high: number): string {
  const digits = digitsOf(figure);
  return `[${decimal(low, digits)}, ${decimal(high, digits)}]`;
}

export const intervalText = (figure: Figure) => figure.ci95 && range(figure, ...figure.ci95);

export const nullText = (figure: Figure) => figure.null && range(figure, figure.null.q025, figure.null.q975);

export const probabilityText = (p: number) => (p < 0.001 ? '< .001' : decimal(p, 3));

/** The whole figure in one line: `.21 [.11, .30], chance [−.10, .09], p .005`. */
export function figureLine(figure: Figure): string {
  if (figure.value === null) return `empty: ${figure.why ?? 'no reason given'}`;
  const interval = intervalText(figure);
  const parts = [interval ? `${valueText(figure)} ${interval}` : valueText(figure)];
  if (figure.null) parts.push(`chance ${nullText(figure)}`);
  if (figure.p !== undefined) parts.push(`p ${probabilityText(figure.p)}`);
  return parts.join(', ');
}

/** Value and interval in one table cell, or why there is none. */
export function figureCell(figure: Figure): Markup {
  if (figure.value === null) return html`<td class="none">empty: ${figure.why ?? 'no reason given'}</td>`;
  const interval = intervalText(figure);
  return html`<td class="number"><b>${valueText(figure)}</b>${interval && html` <small>${interval}</small>`}</td>`;
}

/** The cells that say what a figure must be read against: null, p, smallest effect this sample would have shown. */
export function againstCells(figure: Figure): Markup {
  const { p, detectable } = figure;
  return html`<td class="number">${nullText(figure) ?? '–'}</td><td class="number">${
    p === undefined ? '–' : probabilityText(p)
  }</td><td class="number">${detectable === undefined ? '–' : decimal(detectable)}</td>`;
}
export const AGAINST_HEADERS = html`<th scope="col">chance, 95%</th><th scope="col">p</th><th scope="col">detectable</th>`;
