import { textKey } from '../alignment/fitted-texts.js';
import type { RemedyContent } from '../alignment/remedy-schema.js';
import { splitTexts } from '../diagnosis/split.js';
import { MoralscopeError } from '../errors.js';
import { Random } from '../random.js';
import { crossFolds, type Fold } from './held-out-scores.js';
import { type LabelledTexts, ofUnits } from './labelled-texts.js';

/** A data set with the part that every one of its texts plays. */
export interface VerifiedTexts {
  /** The texts that play one. */
  set: LabelledTexts;
  fittedOn: boolean;
  /** Whether it is the very set that the remedy was fitted on, in one fold, as `align` split it. */
  origin: boolean;
  relation: string;
  /** Positions of the texts that the remedy is judged on. */
  test: Int32Array;
  /** Positions of those that choose its strength; empty for all sets but one. */
  choose: Int32Array;
  /** How the probe and the floors are fitted, so that each text of `test` has a score. */
  folds: Fold[];
  /** Texts left out because the remedy was fitted on them or chosen by them, and for their number. */
  seen: number;
  beyond: number;
}

const FEWEST_UNITS = 20;
/** A set that shares more of its units than this with the texts fitted on is no other data set. */
const SAME = 0.05;
/** Of the first data set, where the one fitted on is not given. */
const CHOOSING_SHARE = 0.3;

export interface PartOptions {
  /** What the remedy was fitted on, and the seed of its split (`splitTexts` by text, or by pair). */
  remedy: Pick<RemedyContent, 'corpus' | 'seed'>;
  /** Keys of the texts that it was fitted on. */
  fittedTexts: ReadonlySet<string>;
  maxTexts: number;
  seed: number;
}

/**
 * Deals out parts. Of the data set fitted on: training and validation texts as `align` split them, the latter to choose the strength, test texts
 * to judge. Any other is judged on whole, its probe and floors cross-fitted; of the first one 30% choose the strength where the one fitted on
 * is not there. A text that the remedy was fitted on, or its strength chosen by, is left out of every other set; a set of which that is a
 * twentieth or more is as good as the one fitted on.
 * @throws MoralscopeError `bad-data` for a set with too few texts
 */
export function dealParts(sets: readonly LabelledTexts[], { remedy, fittedTexts, maxTexts, seed }: PartOptions): VerifiedTexts[] {
  const isFitted = (set: LabelledTexts) =>
    remedy.corpus !== null && set.sha256 === remedy.corpus.sha256 && (set.kind === 'pairs') === remedy.corpus.pairs;
  const fitted = sets.find(isFitted);
  const choosing = new Set<string>();
  return sets.map((set, i) => {
    if (set.units < FEWEST_UNITS)
      throw new MoralscopeError(
        'bad-data',
        `${set.name} has ${set.units} ${set.pairs ? 'pairs' : 'judged texts'}; at least ${FEWEST_UNITS} are needed.`,
        'Give a larger data set.',
      );
    if (set === fitted) return fittedParts(set, remedy.seed, maxTexts, seed);
    const keys = set.texts.map(textKey);
    const fittedOn = unitsWith(set, (text) => fittedTexts.has(keys[text]));
    const seen = new Set(unitsWith(set, (text) => fittedTexts.has(keys[text]) || choosing.has(keys[text])));
    const unseen = Int32Array.from({ length: set.units }, (_, unit) => unit).filter((unit) => !seen.has(unit));
    if (unseen.length < FEWEST_UNITS)
      throw new MoralscopeError(
        'bad-data',
        `Of ${set.name} ${unseen.length} ${set.pairs ? 'pairs' : 'texts'} are left that the remedy was not fitted on; at least ${FEWEST_UNITS} are needed.`,
        'Give another data set.',
      );
    const shared = fittedOn.length / set.units;
    const part = otherParts(set, unseen, { choosing: !fitted && i === 0, maxTexts, seed, known: remedy.corpus, shared });
    for (const text of part.choose) choosing.add(textKey(part.set.texts[text]));
    return part;
  });
}

function fittedParts(set: LabelledTexts, splitSeed: number, maxTexts: number, seed: number): VerifiedTexts {
  const split = splitTexts(set.units, splitSeed);
  const most = unitsOf(set, maxTexts);
  const [train, validation, test] = [
    sampled(split.train, 2 * most, seed),
    sampled(split.validation, most, seed),
    sampled(split.test, most, seed),
  ];
  const kept = ofUnits(set, Int32Array.of(...train, ...validation, ...test));
  const part = (from: number, to: number) =>
    Int32Array.from(kept.unit.keys()).filter((text) => kept.unit[text] >= from && kept.unit[text] < to);
  const fewer =
    train.length < split.train.length
      ? `; probe and floors are fitted on ${train.length} of its ${split.train.length}, the remedy was on all`
      : '';
  const middle = train.length + validation.length;
  const parts = { train: part(0, train.length), validation: part(train.length, middle), test: part(middle, kept.units) };
  return {
    set: kept,
    fittedOn: true,
    origin: true,
    relation: `the data set that the remedy was fitted on, judged on the 20% of its ${set.pairs ? 'pairs' : 'texts'} that played no part in it${fewer}`,
    test: parts.test,
    choose: parts.validation,
    folds: [parts],
    seen: textsOf(set, split.train) + textsOf(set, split.validation),
    beyond: textsOf(set, split.test) - parts.test.length,
  };
}

function otherParts(
  set: LabelledTexts,
  unseen: Int32Array,
  {
    choosing,
    maxTexts,
    seed,
    known,
    shared,
  }: { choosing: boolean; maxTexts: number; seed: number; known: RemedyContent['corpus']; shared: number },
): VerifiedTexts {
  const order = new Random(seed, 'choosing units').shuffle(unseen.slice());
  const chosen = choosing ? order.subarray(0, Math.round(CHOOSING_SHARE * order.length)) : order.subarray(0, 0);
  const judged = order.subarray(chosen.length);
  const most = unitsOf(set, maxTexts);
  const [choose, test] = [sampled(chosen, most, seed), sampled(judged, most, seed)];
  const kept = ofUnits(set, Int32Array.of(...choose, ...test));
  const isTest = (text: number) => kept.unit[text] >= choose.length;
  const positions = Int32Array.from(kept.unit.keys());
  return {
    set: kept,
    fittedOn: shared >= SAME,
    origin: false,
    relation: [
      shared >= SAME
        ? `shares ${Math.round(100 * shared)}% of its ${set.pairs ? 'pairs' : 'texts'} with ${known?.name ?? 'those'} that the remedy was fitted on, which are left out: as good as the same data set`
        : known
          ? `another data set than ${known.name}, which the remedy was fitted on`
          : 'the remedy was fitted on no data set',
      choosing ? '30% of it chose the strength' : undefined,
    ]
      .filter((part) => part !== undefined)
      .join('; '),
    test: positions.filter(isTest),
    choose: positions.filter((text) => !isTest(text)),
    folds: crossFolds(kept, seed).map((fold) => ({ ...fold, test: fold.test.filter(isTest) })),
    seen: set.texts.length - textsOf(set, unseen) + textsOf(set, chosen),
    beyond: textsOf(set, judged) - positions.filter(isTest).length,
  };
}

/** The units of which some text is such a one. */
function unitsWith({ unit }: LabelledTexts, is: (text: number) => boolean): number[] {
  return [...new Set(unit.filter((_, text) => is(text)))];
}

/** How many units hold about so many texts. */
function unitsOf({ texts, units }: LabelledTexts, most: number): number {
  return Math.max(1, Math.floor((most * units) / texts.length));
}

/** Number of texts of some units. */
function textsOf({ unit }: LabelledTexts, units: Int32Array): number {
  const among = new Set(units);
  return unit.reduce((sum, of) => sum + (among.has(of) ? 1 : 0), 0);
}

/** At most so many, drawn at random. */
function sampled(units: Int32Array, most: number, seed: number): Int32Array {
  if (units.length <= most) return units;
  return new Random(seed, 'units to judge').shuffle(units.slice()).slice(0, most).sort();
}

/** The texts that the remedy is judged on, in the order of `test`. */
export function judgedTexts({ set, test }: VerifiedTexts): LabelledTexts {
  return ofUnits(set, Int32Array.from(new Set(Array.from(test, (text) => set.unit[text]))));
}
