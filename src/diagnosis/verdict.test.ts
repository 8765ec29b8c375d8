import { describe, expect, test } from 'vitest';
import type { Best, Figure, LayerDiagnosis, PoolingDiagnosis, Readout } from './schema.js';
import { number, outcome, readoutVerdict, summarise, verdictOf } from './verdict.js';

const figure = (value: number, p: number): Figure => ({
  value,
  ci95: [value - 0.1, value + 0.1],
  null: { mean: 0, q025: -0.2, q975: 0.2 },
  p,
  detectable: 0.3,
});
const empty: Figure = { value: null, why: 'no text with m > 0 for loyalty' };
const analyses = (f: Figure) => ({
  categorical: { mean: f, baseline: f },
  gradient: { detection: f, gradient: f },
  structural: { ari: { polarity: f }, kmeansAmi: { polarity: f }, clusters: 3, noise: { value: 0.25 } },
  dimensional: { r2: f, floor: f },
});
/** What verdicts read of a layer. */
const layer = (number: number, f: Figure) =>
  ({ layer: number, ...analyses(f), lengthRegressed: analyses(f) }) as unknown as LayerDiagnosis;
const pooling = (f: Figure): PoolingDiagnosis => ({ best: {} as PoolingDiagnosis['best'], layers: [layer(4, f), layer(7, f)] });
const readout = (auc: Figure, bias: Figure = { value: -0.52 }): Readout => ({
  auc,
  spearman: auc,
  bias,
  floors: { bagOfWords: auc, recalibrated: auc },
  aucOnTest: auc,
  words: [['right', 'wrong']],
});
const ALL = ['categorical', 'gradient', 'structural', 'dimensional'] as const;
const broken = /NaN|undefined|null\b(?! [-.\d])|Infinity|\[object/;

describe('verdicts', () => {
  test.each([
    [0.01, 'apart'],
    [0.0499, 'apart'],
    [0.05, 'chance'],
    [0.8, 'chance'],
  ])('p %d means %s', (p, expected) => {
    expect(outcome(figure(0.2, p))).toBe(expected);
  });
  test('a value without a null is no verdict', () => {
    expect(outcome({ value: 0.4 })).toBe('empty');
    expect(outcome(empty)).toBe('empty');
  });

  test.each(ALL)('%s says value, interval, null, p and where, for every outcome', (analysis) => {
    const best: Best = { layer: 7, figure: figure(-0.26, 0.012) };
    const apart = verdictOf(analysis, 'last', best, pooling(figure(0.11, 0.3)));
    expect(apart).toMatchObject({ analysis, pooling: 'last', layer: 7, outcome: 'apart' });
    for (const part of [
      analysis === 'structural' ? '-.26 [subsamples -.36, -.16]' : '-.26 [-.36, -.16]',
      'null .00 [-.20, .20]',
      'p = .012',
      'pooling last, layer 7',
    ])
      expect(apart.text).toContain(part);
    const chance = verdictOf(analysis, 'content', { ...best, figure: figure(-0.02, 0.4) }, pooling(empty));
    expect(chance.outcome).toBe('chance');
    expect(chance.text).toContain(`a value ${analysis === 'categorical' ? 'below' : 'above'} .30`);
    const none = verdictOf(analysis, 'last', { layer: null, figure: empty }, pooling(empty));
    expect(none.outcome).toBe('empty');
    expect(none.text).toContain('no text with m > 0 for loyalty');
    const few = verdictOf(
      analysis,
      'last',
      { layer: 4, figure: { value: 0.1, null: { mean: 0, q025: 0, q975: 0 }, p: 0.5 } },
      pooling(empty),
    );
    expect(few.outcome).toBe('chance');
    expect(few.text).not.toContain('n/a at');
    const texts = [apart, chance, none, few].flatMap(({ text, meaning }) => [text, meaning]);
    for (const text of texts) {
      expect(text).not.toMatch(broken);
      expect(text).toMatch(/\.$/);
    }
    expect(new Set(texts).size).toBe(texts.length);
  });

  test('an effect that could not be worked out is not promised', () => {
    const figureWithout = { value: 0.1, null: { mean: 0, q025: 0, q975: 0 }, p: 0.5 };
    expect(verdictOf('gradient', 'last', { layer: 4, figure: figureWithout }, pooling(empty)).text).not.toContain(
      'would have shown',
    );
  });

  test('the readout keeps bias and discrimination apart', () => {
    const found = readoutVerdict(readout(figure(0.79, 0.005)));
    expect(found).toMatchObject({ analysis: 'readout', pooling: null, layer: null, outcome: 'apart' });
    expect(found.text).toContain('.79');
    expect(found.text).toContain('.52 nats toward disapproval');
    expect(readoutVerdict(readout(figure(0.79, 0.005), { value: 0.4 })).text).toContain('.40 nats toward approval');
    const none = readoutVerdict(readout(empty, empty));
    expect(none.outcome).toBe('empty');
    for (const { text } of [found, none]) expect(text).not.toMatch(broken);
  });
});

describe('the summary', () => {
  const knows = { auc: figure(0.88, 0.005), spearman: figure(0.5, 0.005), layer: 7, pooling: 'last' as const };
  const verdicts = (ps: (number | undefined)[]) =>
    ALL.map((analysis, i) =>
      verdictOf(analysis, 'last', { layer: 7, figure: ps[i] === undefined ? empty : figure(0.2, ps[i]) }, pooling(empty)),
    );

  test('sets what is said against what the geometry shows, each analysis once', () => {
    const text = summarise('SmolLM2', verdicts([0.01, 0.5, undefined, 0.02]), readout(figure(0.79, 0.005)), knows);
    expect(text).toContain('SmolLM2 says good and bad apart with AUC .79');
    expect(text).toContain('more than chance in the categorical and dimensional analyses');
    expect(text).toContain('nothing told from chance in the gradient analysis');
    expect(text).toContain('nothing that could be computed in the structural analysis');
    expect(text.match(/\.(\s|$)/g)).toHaveLength(1);
    for (const analysis of ALL) expect(text.split(analysis)).toHaveLength(2);
  });

  test('reads well whatever is missing', () => {
    for (const ps of [
      [0.01, 0.01, 0.01, 0.01],
      [0.9, 0.9, 0.9, 0.9],
      [undefined, undefined, undefined, undefined],
      [0.01, 0.01, 0.9, 0.9],
    ])
      for (const says of [figure(0.5, 0.5), empty]) {
        const text = summarise('M', verdicts(ps), readout(says), { ...knows, auc: says });
        expect(text).not.toMatch(broken);
        expect(text).toMatch(/shows .* analys[ie]s\.$/);
      }
  });
});

test.each([
  [0.256, '.26'],
  [-0.05, '-.05'],
  [-0.001, '.00'],
  [1.3, '1.30'],
  [0.999, '1.00'],
  [-0.9999, '-1.00'],
  [null, 'n/a'],
  [undefined, 'n/a'],
  [Number.NaN, 'n/a'],
])('number %s reads %s', (value, text) => {
  expect(number(value)).toBe(text);
});
