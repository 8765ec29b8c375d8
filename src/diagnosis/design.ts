import { POLES } from '../moral/foundation.js';
import { halvings } from './categorical.js';
import { type Draw, type DrawCounts, type Draws, drawAll } from './draws.js';
import type { JudgedTexts, Signed } from './judged-texts.js';
import { halveTexts, type Split, splitTexts } from './split.js';
import { type HumanClasses, humanClasses } from './structural.js';

/** Some of the texts: where they stand among all, their judgments and their own draws. */
export interface Part {
  positions: Int32Array;
  texts: JudgedTexts;
  draws: Draws;
}

/** What is the same at every layer and pooling: texts, permutations, bootstrap draws, halves and splits. Built alike in every thread. */
export class Design {
  readonly draws: Draws;
  /** Random halves of every pole, for the reliability of its prototype. */
  readonly halvings: Draw[];
  /** Layers are chosen on the first half and reported on the second. */
  readonly halves: [Part, Part];
  /** Texts of one foundation, for analysis 3. */
  readonly single: Part & { classes: HumanClasses };
  readonly split: Split;

  constructor(
    readonly texts: JudgedTexts,
    readonly counts: DrawCounts,
  ) {
    const { seed } = counts;
    const none = { ...counts, permutations: 0, bootstraps: 0 };
    const part = (positions: Int32Array, name: string, drawn: DrawCounts): Part => {
      const own = texts.subset(positions);
      return { positions, texts: own, draws: drawAll(own, drawn, name) };
    };
    this.draws = drawAll(texts, counts, 'all');
    this.halvings = halvings(texts, seed);
    const [chosenOn, reportedOn] = halveTexts(texts.length, seed);
    this.halves = [part(chosenOn, 'first half', none), part(reportedOn, 'second half', counts)];
    const single = part(texts.ofOneFoundation(), 'one foundation', { ...counts, bootstraps: 0 });
    this.single = { ...single, classes: humanClasses(single.texts, single.draws, seed) };
    this.split = splitTexts(texts.length, seed);
  }
}

/**
 * What analysis 4 and the probe are to read from the states: the ten slots of the moral vector (0 where a foundation is not tagged), then the
 * signed judgment; [texts, 11].
 */
export function targets(texts: JudgedTexts, signed: Signed = texts.signed): Float32Array {
  const n = texts.length;
  const m = texts.moralVectors(signed);
  const valence = texts.valence(signed);
  const width = POLES.length + 1;
  const y = new Float32Array(n * width);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < POLES.length; k++) y[i * width + k] = Number.isNaN(m[k * n + i]) ? 0 : m[k * n + i];
    y[i * width + POLES.length] = valence[i];
  }
  return y;
}
