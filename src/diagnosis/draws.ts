import { Random } from '../random.js';
import { bootstrapCounts } from '../statistics/resampling.js';
import type { JudgedTexts, Signed } from './judged-texts.js';

/** The texts with their judgments as observed, as drawn from the null, or as drawn by the bootstrap. */
export interface Draw {
  signed: Signed;
  /** m of every pole and text under these judgments, [10, texts] (`JudgedTexts.moralVectors`). */
  m: Float32Array;
  /** How often the bootstrap drew each text; absent: once each. */
  counts?: Uint16Array;
}

export interface Draws {
  observed: Draw;
  /** Judgments permuted among texts of the same tags. Draw b is the same at every layer, so that maxima over layers can be taken. */
  permuted: Draw[];
  /** Texts resampled with replacement. */
  resampled: Draw[];
}

export interface DrawCounts {
  seed: number;
  permutations: number;
  bootstraps: number;
}

/** The seeded draws of a set of texts; `name` keeps the streams of different sets apart. */
export function drawAll(texts: JudgedTexts, { seed, permutations, bootstraps }: DrawCounts, name: string): Draws {
  const observed: Draw = { signed: texts.signed, m: texts.moralVectors() };
  return {
    observed,
    permuted: Array.from({ length: permutations }, (_, b) => {
      const signed = texts.permuted(new Random(seed, name, 'permutation', b));
      return { signed, m: texts.moralVectors(signed) };
    }),
    resampled: Array.from({ length: bootstraps }, (_, b) => ({
      ...observed,
      counts: bootstrapCounts(texts.length, new Random(seed, name, 'bootstrap', b)),
    })),
  };
}
