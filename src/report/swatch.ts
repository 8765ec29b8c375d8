import { type Markup, trusted } from './markup.js';

const swatch = (inner: string) => trusted(`<svg class="swatch" viewBox="0 0 30 12" aria-hidden="true">${inner}</svg>`);

/** Small pictures for legends, drawn as in the figures; colours and dashes are the style sheet's and the code's own. */
export const lineSwatch = (stroke: string, width: number, dash: string): Markup =>
  swatch(`<path d="M0 6H30" style="stroke:${stroke};stroke-width:${width};stroke-dasharray:${dash}"/>`);

export const bandSwatch = (color: string): Markup => swatch(`<rect width="30" height="12" style="fill:${color}"/>`);

export const DIAMOND = swatch('<path d="M15 1l5 5-5 5-5-5z" style="fill:var(--page);stroke:currentColor;stroke-width:1.5"/>');
export const CIRCLE = swatch('<circle cx="15" cy="6" r="5" style="fill:var(--value)"/>');
export const TRIANGLE = swatch('<path d="M15 1l5.5 9.5h-11z" style="fill:var(--page);stroke:var(--second);stroke-width:2"/>');
