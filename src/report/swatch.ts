import { type Markup, trusted } from './markup.js';

const swatch = (inner: string) => trusted(`<svg class="swatch" viewBox="0 0 30 12" aria-hidden="true">${inner}</svg>`);

/** Small pictures for legends, drawn as in the figures; colours and dashes are the style sheet's and the code's own. */
export const lineSwatch = (stroke: string, width: number, dash: string): Markup =>
  swatch(`<path d="M0 6H30" style="stroke:${stroke};stroke-width:${width};stroke-dasharray:${dash}"/>`);

export const bandSwatch = (color: string): Markup => swatch(`<rect width="30" height="12" style="fill:${color}"/>`);

export const DIAMOND = swatch('<path d="M15 1l5 5-5 5-5-5z" style="fill:var(--page);stroke:currentColor;stroke-width:1.5"/>');
export const CIRCLE = swatch('<circle cx="15" cy="6" r="5" style="fill:var(--value)"/>');
export const TRIANGLE = swatch('<path d="M15 1l5.5 9.5h-11z" style="fill:var(--page);stroke:var(--second);stroke-width:2"/>');

const SHAPES = {
  circle: '<circle cx="15" cy="6" r="4"',
  diamond: '<path d="M15 1l5 5-5 5-5-5z"',
  triangle: '<path d="M15 1l5.5 9.5h-11z"',
  times: '<path d="M11 2l8 8M19 2l-8 8"',
  square: '<rect x="11" y="2" width="8" height="8"',
  star: '<path d="M15.0 0.7L16.2 4.5L20.2 4.5L17.0 6.8L18.2 10.6L15.0 8.3L11.8 10.6L13.0 6.8L9.8 4.5L13.8 4.5z"',
} as const;

/** The symbol of a point; circles are filled. */
export const symbolSwatch = (symbol: keyof typeof SHAPES, colour: string): Markup =>
  swatch(`${SHAPES[symbol]} style="stroke:${colour};stroke-width:1.5;fill:${symbol === 'circle' ? colour : 'none'}"/>`);
