import { JudgedTexts } from '../diagnosis/judged-texts.js';
import { MoralscopeError } from '../errors.js';
import type { Corpus } from '../moral/corpus.js';
import { POLES } from '../moral/foundation.js';
import type { Random } from '../random.js';

/** Texts with m > 0 that a pole must have among those that are correlated. */
export const FEWEST_OF_A_POLE = 10;

/** How texts exchange their judgments under a null. */
export type Exchange =
  /** Whole moral vectors among all texts: a latent has nothing to do with judgments. */
  | 'texts'
  /** Among texts with the same foundations alone: topic kept, valence broken. */
  | 'within topics';

/** Some texts with what they were judged. */
export class MoralTargets {
  /** m of every pole, [10][texts]: mean over the text's annotations of that foundation, 0 where it has none (docs/paper.md section 1). */
  readonly m: readonly Float32Array[];

  private constructor(readonly texts: JudgedTexts) {
    const m = texts.moralVectors();
    const n = texts.length;
    this.m = POLES.map((_, pole) => m.slice(pole * n, (pole + 1) * n).map((value) => (Number.isNaN(value) ? 0 : value)));
  }

  static of(corpus: Corpus): MoralTargets {
    return new MoralTargets(JudgedTexts.of(corpus));
  }

  get length(): number {
    return this.texts.length;
  }

  /** The texts at these positions. */
  on(positions: Int32Array): MoralTargets {
    return new MoralTargets(this.texts.subset(positions));
  }

  /** How many texts have m > 0, by pole. */
  counts(): number[] {
    return this.m.map((pole) => pole.reduce((count, value) => count + (value > 0 ? 1 : 0), 0));
  }

  /** One exchange: whose moral vector each text has. */
  exchanged(exchange: Exchange, random: Random): Int32Array {
    if (exchange === 'texts') return random.permutation(this.length);
    const from = new Int32Array(this.length);
    for (const stratum of this.texts.exchangeable) {
      const order = random.permutation(stratum.length);
      stratum.forEach((text, i) => {
        from[text] = stratum[order[i]];
      });
    }
    return from;
  }
}

/**
 * The poles that can be correlated: those with enough texts in every fold.
 * @throws MoralscopeError `bad-data` where there is none
 */
export function polesToScreen(folds: readonly MoralTargets[]): { screened: number[]; skipped: Map<number, string> } {
  const counts = folds.map((fold) => fold.counts());
  const skipped = new Map<number, string>();
  for (const pole of POLES.keys()) {
    const least = Math.min(...counts.map((of) => of[pole]));
    if (least < FEWEST_OF_A_POLE)
      skipped.set(pole, `${least} texts of ${POLES[pole]} in a fold, and ${FEWEST_OF_A_POLE} are needed`);
  }
  const screened = [...POLES.keys()].filter((pole) => !skipped.has(pole));
  if (screened.length === 0)
    throw new MoralscopeError(
      'bad-data',
      `No pole can be screened: ${[...skipped.values()].join('; ')}.`,
      'Build a larger corpus (corpus stats counts texts by pole).',
    );
  return { screened, skipped };
}
