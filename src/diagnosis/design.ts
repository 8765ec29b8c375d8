import { POLES } from '../moral/foundation.js';
import { halvings } from './categorical.js';
import { type Draw, type DrawCounts, type Draws, drawAll } from './draws.js';
import type { JudgedTexts } from './judged-texts.js';
import { halveTexts, type Split, splitTexts } from './split.js';
import { type HumanClasses, humanClasses } from './structural.js';

/** Some of the texts: where they stand among all, their judgments and their own draws. */
export interface Part {
  positions: Int32Array;
  texts: JudgedTexts;
  draws: Draws;
}

/** What is the same at every layer and pooling. Built alike in every thread. */
export interface Design {
  texts: JudgedTexts;
  counts: DrawCounts;
  draws: Draws;
  /** What analysis 4 is to read: as observed, then under every permutation. */
  targets: Float32Array[];
  /** Random halves of every pole, for the reliability of its prototype. */
  halvings: Draw[];
  /** Layers are chosen on the first half and reported on the second. */
  halves: [Part, Part];
  /** Texts of one foundation, for analysis 3. */
  single: Part & { classes: HumanClasses };
  split: Split;
}

export function designOf(texts: JudgedTexts, counts: DrawCounts): Design {
  const { seed } = counts;
  const part = (positions: Int32Array, name: string, drawn: Partial<DrawCounts>): Part => {
    const own = texts.subset(positions);
    return { positions, texts: own, draws: drawAll(own, { ...counts, ...drawn }, name) };
  };
  const draws = drawAll(texts, counts, 'all');
  const [chosenOn, reportedOn] = halveTexts(texts.length, seed);
  const single = part(texts.ofOneFoundation(), 'one foundation', { bootstraps: 0 });
  return {
    texts,
    counts,
    draws,
    targets: [draws.observed, ...draws.permuted].map((draw) => targets(texts, draw)),
    halvings: halvings(texts, draws.observed, seed),
    halves: [part(chosenOn, 'first half', { permutations: 0, bootstraps: 0 }), part(reportedOn, 'second half', {})],
    single: { ...single, classes: humanClasses(single.texts, single.draws, seed) },
    split: splitTexts(texts.length, seed),
  };
}

/** The same design without bootstrap draws: figures keep their null and lose their interval. */
export function withoutBootstrap(design: Design): Design {
  return { ...design, counts: { ...design.counts, bootstraps: 0 }, draws: { ...design.draws, resampled: [] } };
}

/**
 * What analysis 4 and the probe are to read from the states: the moral vector, mean over the text's annotations (0 where one does not tag the
 * foundation), then the signed judgment; [texts, 11].
 */
export function targets(texts: JudgedTexts, { signed }: Draw): Float32Array {
  const n = texts.length;
  const sums = new Float32Array(POLES.length * n);
  texts.weights({ signed }, sums);
  const valence = texts.valence(signed);
  const width = POLES.length + 1;
  const y = new Float32Array(n * width);
  for (let i = 0; i < n; i++) {
    const annotations = texts.annotationsOf(i);
    for (let k = 0; k < POLES.length; k++) y[i * width + k] = sums[k * n + i] / annotations;
    y[i * width + POLES.length] = valence[i];
  }
  return y;
}
