import { describe, expect, test } from 'vitest';
import { textKey } from '../alignment/fitted-texts.js';
import { splitTexts } from '../diagnosis/split.js';
import type { LabelledTexts } from './labelled-texts.js';
import { dealParts, judgedTexts } from './verified-sets.js';

function setOf(name: string, units: number, more: Partial<LabelledTexts> = {}): LabelledTexts {
  return {
    name,
    kind: 'corpus',
    sha256: name,
    authored: false,
    texts: Array.from({ length: units }, (_, i) => `${name} ${i}`),
    valence: Float32Array.from({ length: units }, (_, i) => (i % 2 === 0 ? 1 : -1)),
    unit: Int32Array.from({ length: units }, (_, i) => i),
    units,
    ...more,
  };
}

function pairsOf(name: string, units: number): LabelledTexts {
  const positions = Int32Array.from({ length: 2 * units }, (_, i) => i);
  return {
    ...setOf(name, 2 * units),
    kind: 'pairs',
    unit: positions.map((i) => i >> 1),
    units,
    pairs: positions,
  };
}

const fittedOn = (name: string, pairs = false) => ({ corpus: { name, authored: false, sha256: name, pairs }, seed: 7 });
/** Keys of the texts that `align` fits on: of a set's units those that train and those that choose. */
function keysOf({ texts, unit, units }: LabelledTexts): Set<string> {
  const { train, validation } = splitTexts(units, 7);
  const fitted = new Set([...train, ...validation]);
  return new Set(texts.filter((_, i) => fitted.has(unit[i])).map(textKey));
}
const named = ({ set }: { set: LabelledTexts }, positions: Int32Array) => Array.from(positions, (text) => set.texts[text]);

describe('parts of data sets', () => {
  test('judge the one fitted on by the texts that align left out', () => {
    const own = setOf('own', 100);
    const [part] = dealParts([own], { remedy: fittedOn('own'), fittedTexts: keysOf(own), maxTexts: 1000, seed: 0 });
    const split = splitTexts(100, 7);
    const texts = (positions: Int32Array) => Array.from(positions, (i) => own.texts[i]);
    expect(part.fittedOn).toBe(true);
    expect(named(part, part.test)).toEqual(texts(split.test));
    expect(named(part, part.choose)).toEqual(texts(split.validation));
    expect(part.folds.map((fold) => [fold.train, fold.validation, fold.test].map((of) => named(part, of)))).toEqual([
      [texts(split.train), texts(split.validation), texts(split.test)],
    ]);
    expect([part.seen, part.beyond]).toEqual([80, 0]);
    expect(judgedTexts(part).texts).toEqual(texts(split.test));
  });

  test('judge another set on all that the remedy has not seen, and choose nothing by it', () => {
    const own = setOf('own', 100);
    const seen = splitTexts(100, 7).train.slice(0, 5);
    const heldOut = splitTexts(100, 7).test[0];
    const others = setOf('other', 120);
    const other = {
      ...others,
      texts: others.texts.map((text, i) =>
        i < 5 ? `  ${own.texts[seen[i]].toUpperCase()}.` : i === 5 ? own.texts[heldOut] : text,
      ),
    };
    const [, part] = dealParts([own, other], { remedy: fittedOn('own'), fittedTexts: keysOf(own), maxTexts: 1000, seed: 0 });
    expect(part.fittedOn).toBe(false);
    expect(part.relation).toContain('another data set than own');
    expect(named(part, part.test)).toEqual(other.texts.slice(5));
    expect([part.choose.length, part.seen, part.beyond]).toEqual([0, 5, 0]);
    expect(part.folds.flatMap(({ test: texts }) => [...texts]).sort((a, b) => a - b)).toEqual([...part.test]);
  });

  test('let 30% of the first set choose where the one fitted on is not given', () => {
    const [first, second] = dealParts([setOf('a', 100), setOf('b', 50)], {
      remedy: fittedOn('elsewhere'),
      fittedTexts: new Set(),
      maxTexts: 1000,
      seed: 0,
    });
    expect([first.choose.length, first.test.length, first.seen]).toEqual([30, 70, 30]);
    expect(first.relation).toContain('30% of it chose the strength');
    expect([second.choose.length, second.test.length]).toEqual([0, 50]);
    const judged = new Set(first.test);
    for (const text of first.choose) expect(judged.has(text)).toBe(false);
    // What chose may be fitted on, and is not judged.
    for (const { test: texts } of first.folds) for (const text of texts) expect(judged.has(text)).toBe(true);
  });

  test('keep pairs together, also where there are too many', () => {
    const own = pairsOf('own', 100);
    const [part, sameTexts] = dealParts([own, { ...setOf('corpus', 40), sha256: 'own' }], {
      remedy: fittedOn('own', true),
      fittedTexts: keysOf(own),
      maxTexts: 20,
      seed: 0,
    });
    expect(part.fittedOn).toBe(true);
    expect([part.test.length, part.beyond]).toEqual([20, 20]);
    const judged = judgedTexts(part);
    expect(judged.units).toBe(10);
    for (let pair = 0; pair < 10; pair++) {
      const [good, bad] = [judged.pairs![2 * pair], judged.pairs![2 * pair + 1]];
      expect([judged.valence[good], judged.valence[bad]]).toEqual([1, -1]);
      expect(own.texts.indexOf(judged.texts[bad])).toBe(own.texts.indexOf(judged.texts[good]) + 1);
    }
    // The same hash of another kind of file is another data set.
    expect(sameTexts.fittedOn).toBe(false);
  });

  test('know the texts fitted on from the remedy alone: the rest of their data set is no other', () => {
    const whole = setOf('whole', 200);
    const fittedTexts = new Set(whole.texts.slice(0, 80).map(textKey));
    const [part] = dealParts([whole], { remedy: fittedOn('a sample of whole'), fittedTexts, maxTexts: 1000, seed: 0 });
    expect(part.fittedOn).toBe(true);
    expect(part.relation).toContain('shares 40% of its texts with a sample of whole');
    expect([...named(part, part.test), ...named(part, part.choose)].sort()).toEqual(whole.texts.slice(80).sort());
  });

  test('judge no set on a text by which the strength was chosen', () => {
    const first = setOf('first', 100);
    const second = { ...setOf('second', 100), texts: first.texts.map((text, i) => (i < 50 ? text : `${text} more`)) };
    const [chosen, judged] = dealParts([first, second], {
      remedy: fittedOn('elsewhere'),
      fittedTexts: new Set(),
      maxTexts: 1000,
      seed: 0,
    });
    const choosing = new Set(named(chosen, chosen.choose));
    expect(second.texts.some((text) => choosing.has(text))).toBe(true);
    expect(named(judged, judged.test)).toEqual(second.texts.filter((text) => !choosing.has(text)));
    expect(judged.fittedOn).toBe(false);
  });

  test('say where nothing was fitted', () => {
    const [part] = dealParts([setOf('a', 100)], {
      remedy: { corpus: null, seed: 0 },
      fittedTexts: new Set(),
      maxTexts: 1000,
      seed: 0,
    });
    expect(part.relation).toBe('the remedy was fitted on no data set; 30% of it chose the strength');
  });

  test('refuse too few texts', () => {
    const remedy = fittedOn('own');
    expect(() => dealParts([setOf('a', 19)], { remedy, fittedTexts: new Set(), maxTexts: 1000, seed: 0 })).toThrow('at least 20');
    const own = setOf('own', 100);
    const copy = { ...own, sha256: 'copy' };
    expect(() =>
      dealParts([own, { ...copy, texts: copy.texts.map((t, i) => (i < 90 ? own.texts[splitTexts(100, 7).train[i % 70]] : t)) }], {
        remedy,
        fittedTexts: keysOf(own),
        maxTexts: 1000,
        seed: 0,
      }),
    ).toThrow('are left');
  });
});
