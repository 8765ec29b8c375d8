import { parseHTML } from 'linkedom';
import { expect, test } from 'vitest';
import type { Figure } from '../diagnosis/schema.js';
import { type Curve, curveDomain, curveLegend, layerCurves } from './layer-curves.js';
import { layerStrip } from './layer-strip.js';
import type { Markup } from './markup.js';

const parsed = (markup: Markup) => parseHTML(`<html><body>${markup.source}</body></html>`).document;
const curve = (figures: Figure[], style: Curve['style'] = 'value'): Curve => ({
  style,
  points: figures.map((figure, layer) => ({ layer, figure })),
});
const panel = { title: 'Cosine', reference: 0, height: 150 };
const attributes = (elements: Iterable<{ getAttribute(name: string): string | null }>, name: string) =>
  [...elements].map((e) => Number(e.getAttribute(name)));

test('points stand at the height of their values, empty ones are left out and explained', () => {
  const figures = [{ value: 0 }, { value: 0.5 }, { value: null, why: 'no texts' }, { value: 1 }, { value: 7 }];
  const document = parsed(layerCurves({ ...panel, curves: [curve(figures)], domain: [0, 1] }));
  const dots = document.querySelectorAll('[aria-label="dot"] circle');
  const [bottom, middle, top, beyond] = attributes(dots, 'cy');
  expect(dots).toHaveLength(4);
  expect(middle).toBeCloseTo((bottom + top) / 2, 1);
  expect(top).toBeLessThan(bottom);
  expect(beyond).toBe(top);
  const [first, second, fourth] = attributes(dots, 'cx');
  expect(fourth - second).toBeCloseTo(2 * (second - first), 1);
  expect(document.querySelector('.none').textContent).toContain('Empty at layer 2: no texts');
});

test('bands reach from quantile to quantile', () => {
  const figure: Figure = { value: 0.5, ci95: [0.25, 0.75], null: { mean: 0, q025: -0.25, q975: 0.25 } };
  const document = parsed(layerCurves({ ...panel, curves: [curve([figure, figure])], domain: [-0.5, 1] }));
  const heights = [...document.querySelectorAll('[aria-label="area"]')].map((g) => {
    const ys = [...g.innerHTML.matchAll(/[ML][\d.]+,([\d.]+)/g)].map((m) => Number(m[1]));
    return [Math.min(...ys), Math.max(...ys)];
  });
  const [[nullTop, nullBottom], [intervalTop, intervalBottom]] = heights;
  expect(nullTop).toBeCloseTo(intervalBottom, 1);
  expect(nullBottom - nullTop).toBeCloseTo(intervalBottom - intervalTop, 1);
});

test('the axis holds what is drawn, and does not follow useless values below its floor', () => {
  const wide: Figure = { value: 0.2, ci95: [-0.1, 0.9], null: { mean: 0, q025: -0.4, q975: 0.3 } };
  const [low, high] = curveDomain([{ curves: [curve([wide]), curve([{ value: 1.5 }], 'ceiling')] }], 0);
  expect(low).toBeLessThan(-0.4);
  expect(high).toBeGreaterThan(1.5);
  expect(curveDomain([{ curves: [curve([{ value: -40 }])] }], 0, -0.25)[0]).toBe(-0.25);
  expect(curveDomain([{ curves: [curve([{ value: 0.8 }])] }], 0.5)[0]).toBe(0.5);
});

test('only cells beyond their own null on the telling side get a dot', () => {
  const against = { mean: 0, q025: -0.1, q975: 0.1 };
  const figures = [
    { value: -0.2, null: against },
    { value: 0.2, null: against },
    { value: 0.05, null: against },
    { value: 0.9 },
    { value: null },
  ];
  const strip = { title: 'Cosine', layers: [0, 1, 2, 3, 4], rows: [{ name: 'care', figures }], full: 1 };
  const dots = (better: 'lower' | 'higher') =>
    attributes(parsed(layerStrip({ ...strip, better })).querySelectorAll('[aria-label="dot"] circle'), 'cx');
  const [lower, higher] = [dots('lower'), dots('higher')];
  expect([lower.length, higher.length]).toEqual([1, 1]);
  expect(lower[0]).toBeLessThan(higher[0]);
  const cells = parsed(layerStrip({ ...strip, better: 'lower' })).querySelectorAll('[aria-label="cell"] rect');
  expect([...cells].map((c) => c.getAttribute('fill'))).toEqual([
    'var(--cool)',
    'var(--warm)',
    'var(--warm)',
    'var(--warm)',
    'var(--page)',
  ]);
  expect(attributes(cells, 'fill-opacity').slice(0, 4)).toEqual([0.2, 0.2, 0.05, 0.9]);
});

test('a line that is empty everywhere is explained in the legend', () => {
  const curves = [curve([{ value: 0.1 }]), curve([{ value: null, why: 'no text was judged twice' }], 'ceiling')];
  const items = [...parsed(curveLegend([{ curves }])).querySelectorAll('li')].map((li) => li.textContent.trim());
  expect(items).toEqual(['states as they are', 'ceiling (repeated annotation): empty: no text was judged twice']);
});

test('layers that are empty for one reason are told as ranges', () => {
  const empty = { value: null, why: 'no cluster' };
  const figures = [empty, { value: 1 }, { value: 1 }, empty, empty, empty, { value: 1 }, empty];
  const document = parsed(layerCurves({ ...panel, curves: [curve(figures)], domain: [0, 1] }));
  expect(document.querySelector('.none').textContent.trim()).toBe('Empty at layer 0, 3–5, 7: no cluster.');
});
