import { JudgedTexts } from '../diagnosis/judged-texts.js';
import type { Corpus } from '../moral/corpus.js';

/** Where judged texts come from. */
export const SET_KINDS = ['corpus', 'pairs', 'labelled'] as const;
export type SetKind = (typeof SET_KINDS)[number];

/** Texts with one signed judgment each. What is drawn, split and left out together is a unit: a text, or a pair of texts. */
export interface LabelledTexts {
  /** What it is called in reports. */
  name: string;
  kind: SetKind;
  /** Of its content, so that it can be told from what a remedy was fitted on. */
  sha256: string;
  /** True where judgments were written by the corpus's authors; null where the file does not say. */
  authored: boolean | null;
  texts: readonly string[];
  /** Signed judgment of each text: above 0 good, below 0 bad, 0 neither. */
  valence: Float32Array;
  /** Unit of each text. */
  unit: Int32Array;
  units: number;
  /** Of pairs [units, 2]: the good text of each and the bad one. */
  pairs?: Int32Array | undefined;
}

/** The judged texts of a corpus, in the order of `JudgedTexts`; a text's judgment is the mean over its annotations. */
export function labelledCorpus(corpus: Corpus): LabelledTexts & { ids: Int32Array } {
  const judged = JudgedTexts.of(corpus);
  return {
    name: corpus.name,
    kind: 'corpus',
    sha256: corpus.sha256,
    authored: corpus.authored,
    texts: Array.from(judged.ids, (id) => corpus.texts[id]),
    valence: judged.valence(),
    unit: Int32Array.from(judged.ids.keys()),
    units: judged.length,
    ids: judged.ids,
  };
}

/** The texts of some units, in their order; units are counted anew. */
export function ofUnits(set: LabelledTexts, units: Int32Array): LabelledTexts {
  const place = new Map<number, number>();
  for (const unit of units) place.set(unit, place.size);
  const kept = Int32Array.from(set.unit.keys()).filter((text) => place.has(set.unit[text]));
  const position = new Map<number, number>();
  for (const text of kept) position.set(text, position.size);
  const { pairs } = set;
  return {
    ...set,
    texts: Array.from(kept, (text) => set.texts[text]),
    valence: Float32Array.from(kept, (text) => set.valence[text]),
    unit: Int32Array.from(kept, (text) => place.get(set.unit[text])!),
    units: units.length,
    pairs: pairs && Int32Array.from([...units].flatMap((unit) => [0, 1].map((side) => position.get(pairs[2 * unit + side])!))),
  };
}
