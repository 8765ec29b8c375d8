import { parseHTML } from 'linkedom';
import { describe, expect, test } from 'vitest';
import { LAYER_FIGURES, PrecisionError } from '../activations/precision-error.js';
import { POLES } from '../moral/foundation.js';
import { decimal } from './figure-text.js';
import { emptied, inventDiagnosis, NASTY, WHY } from './invented-diagnosis.test.support.js';
import { renderReport } from './report.js';

const VOID = new Set(['meta', 'br']);

/** Every tag closed in its order, every attribute quoted and unique, no bare < & > in text; the tags' names. */
function checkedTags(source: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  const body = source.replace(/^<!doctype html>/, '').replace(/<style>[^<]*<\/style>/, '');
  for (const [, tag, text] of body.matchAll(/(<[^>]*>)|([^<]+)/g)) {
    if (text !== undefined) {
      expect(text).not.toMatch(/>|&(?!(amp|lt|gt|quot|#39|#160|nbsp);)/);
      continue;
    }
    const [, close, name, attributes, self] =
      tag.match(/^<(\/?)([a-zA-Z][a-zA-Z0-9]*)((?: [\w:-]+="[^"]*"| [a-z]+)*) ?(\/?)>$/) ?? expect.fail(`not a tag: ${tag}`);
    if (close) expect(open.pop(), tag).toBe(name);
    else if (!self && !VOID.has(name)) open.push(name);
    const keys = [...attributes.matchAll(/ ([\w:-]+)="/g)].map((m) => m[1]);
    expect(new Set(keys).size, tag).toBe(keys.length);
    names.push(name);
  }
  expect(open).toEqual([]);
  return names;
}

const SECTIONS = [
  'verdicts',
  'readout',
  'categorical',
  'gradient',
  'structural',
  'dimensional',
  'sink',
  'prototypes',
  'typical',
  'run',
  'glossary',
];
const diagnosis = inventDiagnosis();
const report = renderReport(diagnosis);
const { document } = parseHTML(report);
const text = (selector: string): string => document.querySelector(selector)?.textContent ?? '';

describe('a report', () => {
  test('is one well-formed document without scripts', () => {
    expect(report).toMatch(/^<!doctype html>\n<html lang="en">/);
    const names = checkedTags(report);
    expect(names.filter((n) => ['script', 'link', 'img', 'iframe', 'object', 'image'].includes(n))).toEqual([]);
    expect(names.filter((n) => n === 'svg').length).toBeGreaterThan(50);
    const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('fetches nothing', () => {
    expect(report).not.toMatch(/\ssrc=|@import|url\(|https?:\/\/(?!www\.w3\.org)/);
    for (const a of document.querySelectorAll('[href]')) expect(a.getAttribute('href')).toMatch(/^#/);
  });

  test('has every section, reached from the contents', () => {
    expect([...document.querySelectorAll('section')].map((s) => s.id)).toEqual(SECTIONS);
    expect([...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))).toEqual(SECTIONS.map((id) => `#${id}`));
    for (const id of SECTIONS) expect(text(`#${id} h2`)).not.toBe('');
  });

  test('names its pictures and the heads of its tables', () => {
    for (const svg of document.querySelectorAll('svg:not([aria-hidden])')) {
      expect(svg.getAttribute('role')).toBe('img');
      expect(svg.getAttribute('aria-label')).toBeTruthy();
      expect(svg.getAttribute('viewBox')).toBeTruthy();
    }
    for (const figure of document.querySelectorAll('figure')) expect(figure.querySelector('figcaption')).not.toBeNull();
    for (const th of document.querySelectorAll('th')) expect(th.getAttribute('scope')).toMatch(/^(col|row)$/);
  });

  test('says what the corpus is', () => {
    expect(text('.notice')).toContain('Authored, not human judgments');
    for (const e of document.querySelectorAll('th, figcaption, p.how, dd, h2'))
      expect(e.textContent).not.toMatch(/human|people/i);
    const judged = renderReport({ ...diagnosis, corpus: { ...diagnosis.corpus, authored: false } });
    expect(parseHTML(judged).document.querySelector('.notice')).toBeNull();
    expect(judged).not.toMatch(/authored/i);
    expect(judged).toContain('human judgment</th>');
  });

  test('shows the summary and the five verdicts with value, interval, null and outcome', () => {
    expect(text('.summary')).toBe(diagnosis.summary);
    const cards = [...document.querySelectorAll('.verdict')];
    expect(cards.map((c) => c.querySelector('.outcome').textContent)).toEqual([
      '● told apart',
      '○ not told from chance',
      '× no verdict',
      '● told apart',
      '● told apart',
    ]);
    const { figure, meaning: told } = diagnosis.verdicts[1];
    for (const part of [decimal(figure.value!), decimal(figure.ci95![0]), `chance [${decimal(figure.null!.q025)}`, told])
      expect(cards[1].textContent).toContain(part);
    expect(cards[2].textContent).toContain('empty: HDBSCAN found no cluster');
  });

  test('prints every cosine of the prototypes', () => {
    const { pooling, layer } = diagnosis.map;
    const { matrix } = diagnosis.poolings[pooling]!.layers[layer].categorical;
    const printed = [...document.querySelectorAll('#prototypes svg text')].map((t) => t.textContent);
    const cosines = matrix.flatMap((row, i) => row.map((value, j) => (i === j ? '' : decimal(value!))));
    expect(printed.filter((t) => /^[.−\d]*$/.test(t))).toEqual(cosines.filter((t) => t !== ''));
    for (const pole of POLES) expect(printed.filter((t) => t === pole)).toHaveLength(3);
  });

  test('shows action texts as they are, whatever they hold', () => {
    const shown = [...document.querySelectorAll('td.action')].map((td) => td.textContent);
    expect(shown).toContain(NASTY.replace('\u0007', '\ufffd').replace('\ud800', '\ufffd'));
    expect(shown).toHaveLength(diagnosis.typical.most.length + diagnosis.typical.least.length);
  });

  test('says what was run', () => {
    for (const part of [
      diagnosis.model.sha256,
      diagnosis.corpus.sha256,
      diagnosis.template,
      'Some CPU',
      'moralscope 0.1.0',
      '1,703 texts',
    ])
      expect(text('#run')).toContain(part);
    expect(text('.facts')).toContain('2026-05-04');
  });

  test('says what the precision costs where the states are not fp32', () => {
    const moved = { fp32: 0.702, reduced: 0.711 };
    const figures = Object.fromEntries(LAYER_FIGURES.map((figure) => [figure, moved]));
    const precisionError = PrecisionError.parse({
      version: 2,
      precision: 'int8',
      probe: '',
      texts: 30,
      layers: [{ layer: 0, median: 0.016, worst: 0.047, figures }],
      nextToken: { meanKl: 0.0024, worstKl: 0.01 },
      readout: { pairs: 9, shift: 0.158, auc: moved, spearman: moved, bias: moved },
    });
    const manifest = { activations: { ...(diagnosis.manifest.activations as object), details: { precisionError } } };
    const line = 'int8 against fp32 on 30 probe texts: states off by 1.6%';
    expect(renderReport({ ...diagnosis, manifest })).toContain(line);
    expect(report).not.toContain('against fp32');
  });

  test('stays below 3 MB with thirty layers and three poolings', () => {
    expect(Buffer.byteLength(report)).toBeLessThan(3e6);
  });

  test('is the same, byte for byte, for the same diagnosis', () => {
    renderReport(inventDiagnosis(2, 3));
    expect(renderReport(structuredClone(diagnosis)) === report).toBe(true);
  });

  test.each([
    ['nothing computed', emptied(diagnosis)],
    ['no pooling', { ...diagnosis, poolings: {} }],
    ['one pooling of one layer', inventDiagnosis(3, 1, ['content'])],
    [
      'no map, actions, verdicts or manifest',
      {
        ...diagnosis,
        map: { ...diagnosis.map, points: [] },
        typical: { ...diagnosis.typical, most: [], least: [] },
        verdicts: [],
        manifest: {},
      },
    ],
    ['a model of two layers and a long name', { ...inventDiagnosis(4, 2), model: { ...diagnosis.model, name: NASTY.repeat(9) } }],
  ])('draws what there is: %s', (_, partial) => {
    const source = renderReport(partial);
    checkedTags(source);
    const page = parseHTML(source).document;
    expect([...page.querySelectorAll('section')].map((s) => s.id)).toEqual(SECTIONS);
    expect(page.querySelector('main').textContent).not.toMatch(/undefined|NaN|\[object|Infinity/);
    for (const svg of page.querySelectorAll('svg')) expect(svg.outerHTML).not.toMatch(/NaN|Infinity|undefined/);
  });

  test('explains every empty figure', () => {
    const empty = parseHTML(renderReport(emptied(diagnosis))).document;
    for (const id of ['verdicts', 'readout', 'categorical', 'gradient', 'structural', 'dimensional'])
      expect(empty.querySelector(`#${id}`).textContent, id).toContain(WHY);
    // One note a panel: three poolings of each curve and of each strip.
    expect(empty.querySelectorAll('#gradient .panel .none')).toHaveLength(12);
  });
});
