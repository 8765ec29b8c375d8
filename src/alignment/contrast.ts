/** @file Texts judged good and texts judged bad, set against each other: what the linear remedies are fitted to. */
import { type Split, splitTexts } from '../diagnosis/split.js';
import { MoralscopeError } from '../errors.js';
import type { Corpus } from '../moral/corpus.js';
import { FOUNDATIONS } from '../moral/foundation.js';
import { Random } from '../random.js';
import type { ContrastPair } from './contrast-pairs.js';
import { MoralTargets } from './moral-targets.js';

/** Judgments of the texts, as they are or exchanged. */
export interface Labelling {
  /** Signed judgment of each text in [-1, 1]: good above 0, bad below, 0 neither. */
  signed: Float32Array;
  /** Positions of a good and a bad text each, among the texts at these positions. */
  pairs(among: Int32Array): [number, number][];
}

/** Texts of two sides; a position counts them. */
export interface Contrast {
  /** Row of each text in the activations. */
  rows: Int32Array;
  /** By text: what is fitted on, what chooses a penalty, and what evaluates. */
  split: Split;
  text(position: number): string;
  /** `texts` of a corpus or `pairs`, for messages. */
  of: 'texts' | 'pairs';
  /** The texts with their foundations; undefined for pairs, which have none. */
  targets: MoralTargets | undefined;
  observed: Labelling;
  /** The same with judgments that say nothing: the null that shuffled controls are fitted to. */
  exchanged(random: Random): Labelling;
}

/** Texts of either side that a fit needs for training; and for validation. */
const FEWEST = { train: 10, validation: 2 } as const;

/**
 * The judged texts of a corpus, split 70/10/20 as the diagnosis does (`splitTexts`). Exchanges are among texts with the same foundations:
 * topic kept, valence broken. Pairs are drawn within a foundation (the first of a text).
 * @throws MoralscopeError `bad-data` where either side has too few texts
 */
export function contrastOfCorpus(corpus: Corpus, seed: number): Contrast {
  const targets = MoralTargets.of(corpus);
  const { texts } = targets;
  const signed = texts.valence();
  const labelling = (judged: Float32Array, random: () => Random): Labelling => ({
    signed: judged,
    pairs(among) {
      const order = random().shuffle(among.slice());
      return FOUNDATIONS.flatMap((_, foundation) =>
        zipped(
          order.filter((text) => texts.firstFoundation(text) === foundation),
          judged,
        ),
      );
    },
  });
  return checked({
    rows: texts.ids,
    text: (position) => corpus.texts[texts.ids[position]],
    split: splitTexts(texts.length, seed),
    of: 'texts',
    targets,
    observed: labelling(signed, () => new Random(seed, 'pairs')),
    exchanged(random) {
      const from = targets.exchanged('within topics', random);
      return labelling(
        signed.map((_, text) => signed[from[text]]),
        () => random,
      );
    },
  });
}

/**
 * Pairs, split 70/10/20. Of each pair an exchange may swap the two: topic kept, valence broken. The principal component of differences
 * does not see which of two is which, so exchanged pairs are also matched anew, at random.
 * @param rowOf row of a text in the activations
 * @throws MoralscopeError `bad-data` where there are too few
 */
export function contrastOfPairs(pairs: readonly ContrastPair[], rowOf: (text: string) => number, seed: number): Contrast {
  const byPair = splitTexts(pairs.length, seed);
  const bothOf = (of: Int32Array) => Int32Array.from(Array.from(of).flatMap((pair) => [2 * pair, 2 * pair + 1]));
  const signed = Float32Array.from({ length: 2 * pairs.length }, (_, at) => (at % 2 === 0 ? 1 : -1));
  return checked({
    text: (position) => pairs[position >> 1][position % 2 === 0 ? 'virtue' : 'vice'],
    rows: Int32Array.from(pairs.flatMap(({ virtue, vice }) => [rowOf(virtue), rowOf(vice)])),
    split: {
      train: bothOf(byPair.train),
      validation: bothOf(byPair.validation),
      test: bothOf(byPair.test),
    },
    of: 'pairs',
    targets: undefined,
    observed: {
      signed,
      pairs: (among) =>
        Array.from(
          among.filter((at) => at % 2 === 0),
          (at) => [at, at + 1],
        ),
    },
    exchanged(random) {
      const judged = signed.slice();
      for (let i = 0; i < judged.length; i += 2) if (random.uniform() < 0.5) [judged[i], judged[i + 1]] = [-1, 1];
      return { signed: judged, pairs: (among) => zipped(random.shuffle(among.slice()), judged) };
    },
  });
}

/** The texts that a remedy is fitted on: those that train, and those that choose. */
export function fittedTexts({ split, text }: Pick<Contrast, 'split' | 'text'>): string[] {
  return [...split.train, ...split.validation].map(text);
}

/** The good texts beside the bad ones, as far as both go. */
function zipped(texts: Int32Array, signed: Float32Array): [number, number][] {
  const [good, bad] = [texts.filter((text) => signed[text] > 0), texts.filter((text) => signed[text] < 0)];
  return Array.from({ length: Math.min(good.length, bad.length) }, (_, i) => [good[i], bad[i]]);
}

function checked(contrast: Contrast): Contrast {
  const { signed } = contrast.observed;
  for (const part of ['train', 'validation'] as const)
    for (const [side, sign] of [['good', 1] as const, ['bad', -1] as const]) {
      const found = contrast.split[part].filter((text) => sign * signed[text] > 0).length;
      if (found < FEWEST[part])
        throw new MoralscopeError(
          'bad-data',
          `There are ${found} ${side} texts to ${part === 'train' ? 'fit on' : 'choose the penalty with'}, and ${FEWEST[part]} are needed (70% of the texts are fitted on, 10% choose).`,
          'Give a larger corpus, or more pairs.',
        );
    }
  return contrast;
}
