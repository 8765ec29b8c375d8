import type { Corpus } from '../moral/corpus.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import type { Random } from '../random.js';

/** One signed judgment a row; the rows are those of the JudgedTexts it belongs to. */
export type Signed = Float32Array;

/**
 * The texts under diagnosis with their judgments. All statistics leave out, permute, split and resample TEXTS: an action
 * tagged with k foundations is one text with k rows (docs/paper.md section 3, "The unit is the text").
 */
export class JudgedTexts {
  /** Position of each text's first row; rows are ordered by text. */
  private readonly start: Int32Array;
  /** Texts that may exchange their judgments: same number of annotations with the same tags. */
  readonly exchangeable: readonly Int32Array[];

  private constructor(
    /** Text id in the corpus (the row of the activation matrix) of each text here. */
    readonly ids: Int32Array,
    readonly foundation: Uint8Array,
    readonly signed: Signed,
    private readonly annotation: Int32Array,
    start: Int32Array,
  ) {
    this.start = start;
    this.exchangeable = this.strata();
  }

  get length(): number {
    return this.ids.length;
  }

  /** The judged texts of a corpus, or of some of its texts. Texts without a row are left out. */
  static of(corpus: Corpus, among?: Iterable<number>): JudgedTexts {
    const wanted = among && new Set(among);
    const rowsOf = new Map<number, number[]>();
    for (let row = 0; row < corpus.rows.length; row++) {
      const text = corpus.rows.text[row];
      if (wanted && !wanted.has(text)) continue;
      const rows = rowsOf.get(text);
      if (rows) rows.push(row);
      else rowsOf.set(text, [row]);
    }
    const ids = Int32Array.from(rowsOf.keys()).sort();
    const order: number[] = [];
    const start = new Int32Array(ids.length + 1);
    const { annotation, foundation, signed } = corpus.rows;
    ids.forEach((id, text) => {
      const tags = tagsByAnnotation(rowsOf.get(id)!, annotation, foundation);
      const tagged = (row: number) => Number(tags.get(annotation[row]));
      const byTags = (a: number, b: number) =>
        tagged(a) - tagged(b) || annotation[a] - annotation[b] || foundation[a] - foundation[b];
      order.push(...rowsOf.get(id)!.sort(byTags));
      start[text + 1] = order.length;
    });
    return new JudgedTexts(
      ids,
      Uint8Array.from(order, (r) => foundation[r]),
      Float32Array.from(order, (r) => signed[r]),
      Int32Array.from(order, (r) => annotation[r]),
      start,
    );
  }

  /** The same judgments for a part of these texts, given by their positions here. */
  subset(positions: Int32Array): JudgedTexts {
    const start = new Int32Array(positions.length + 1);
    const rows: number[] = [];
    positions.forEach((text, i) => {
      for (let r = this.start[text]; r < this.start[text + 1]; r++) rows.push(r);
      start[i + 1] = rows.length;
    });
    return new JudgedTexts(
      Int32Array.from(positions, (p) => this.ids[p]),
      Uint8Array.from(rows, (r) => this.foundation[r]),
      Float32Array.from(rows, (r) => this.signed[r]),
      Int32Array.from(rows, (r) => this.annotation[r]),
      start,
    );
  }

  /** The same texts with other judgments, row by row. */
  judged(signed: Signed): JudgedTexts {
    return new JudgedTexts(this.ids, this.foundation, signed, this.annotation, this.start);
  }

  /** The positions whose texts carry one foundation only, as analysis 3 asks. */
  ofOneFoundation(): Int32Array {
    return this.positions((text) => {
      for (let r = this.start[text] + 1; r < this.start[text + 1]; r++)
        if (this.foundation[r] !== this.foundation[r - 1]) return false;
      return true;
    });
  }

  /** The positions of the texts that `keep` says yes to. */
  positions(keep: (text: number) => boolean): Int32Array {
    const kept: number[] = [];
    for (let text = 0; text < this.length; text++) if (keep(text)) kept.push(text);
    return Int32Array.from(kept);
  }

  /** The positions of the texts with a row of this foundation. */
  membersOf(foundation: number): Int32Array {
    return this.positions((text) => this.foundation.subarray(this.start[text], this.start[text + 1]).includes(foundation));
  }

  /** Foundation of the text's first row. */
  firstFoundation(text: number): number {
    return this.foundation[this.start[text]];
  }

  /**
   * Draws from the null: judgments permuted among the texts of a foundation (topic kept, valence broken). A text's judgments
   * travel together, and only between texts with the same tags, so that what goes with the tags stays.
   */
  permuted(random: Random): Signed {
    const drawn = new Float32Array(this.signed.length);
    for (const stratum of this.exchangeable) {
      const order = random.permutation(stratum.length);
      stratum.forEach((to, i) => {
        const from = stratum[order[i]];
        const rows = this.start[to + 1] - this.start[to];
        for (let r = 0; r < rows; r++) drawn[this.start[to] + r] = this.signed[this.start[from] + r];
      });
    }
    return drawn;
  }

  /** m of every pole and text, [10, texts]: mean over the text's rows of that foundation; NaN where it has none. */
  moralVectors(signed: Signed = this.signed): Float32Array {
    const n = this.length;
    const m = new Float32Array(POLES.length * n).fill(Number.NaN);
    for (let text = 0; text < n; text++) {
      const rows = new Uint16Array(FOUNDATIONS.length);
      for (let r = this.start[text]; r < this.start[text + 1]; r++) {
        const f = this.foundation[r];
        const [virtue, vice] = [2 * f * n + text, (2 * f + 1) * n + text];
        if (rows[f]++ === 0) m[virtue] = m[vice] = 0;
        m[virtue] += Math.max(0, signed[r]);
        m[vice] += Math.max(0, -signed[r]);
      }
      for (let f = 0; f < FOUNDATIONS.length; f++)
        if (rows[f] > 1) {
          m[2 * f * n + text] /= rows[f];
          m[(2 * f + 1) * n + text] /= rows[f];
        }
    }
    return m;
  }

  /** Weight of every text in the prototype of every pole, [10, texts], written to `into`: sum of its m over rows, times its bootstrap count. */
  weights({ signed, counts }: { signed: Signed; counts?: Uint16Array }, into: Float32Array): void {
    const n = this.length;
    into.fill(0);
    for (let text = 0; text < n; text++) {
      const times = counts ? counts[text] : 1;
      for (let r = this.start[text]; r < this.start[text + 1]; r++) {
        const slot = 2 * this.foundation[r] + (signed[r] < 0 ? 1 : 0);
        into[slot * n + text] += Math.abs(signed[r]) * times;
      }
    }
  }

  /** Mean signed judgment of each text over its annotations, in [-1, 1]; eighths add up exactly, so that what cancels is 0. */
  valence(signed: Signed = this.signed): Float32Array {
    const valence = new Float32Array(this.length);
    for (let text = 0; text < this.length; text++) {
      let sum = 0;
      for (let r = this.start[text]; r < this.start[text + 1]; r++) if (this.beginsAnnotation(text, r)) sum += signed[r];
      valence[text] = sum / this.annotationsOf(text);
    }
    return valence;
  }

  /** Number of annotations of a text. */
  annotationsOf(text: number): number {
    let annotations = 0;
    for (let r = this.start[text]; r < this.start[text + 1]; r++) if (this.beginsAnnotation(text, r)) annotations++;
    return annotations;
  }

  private beginsAnnotation(text: number, row: number): boolean {
    return row === this.start[text] || this.annotation[row] !== this.annotation[row - 1];
  }

  /** Judgments of each annotation of a text (one value an annotation), for the noise ceiling. */
  annotations(text: number): { foundation: number; signed: number }[][] {
    const lists = new Map<number, { foundation: number; signed: number }[]>();
    for (let r = this.start[text]; r < this.start[text + 1]; r++) {
      const entry = { foundation: this.foundation[r], signed: this.signed[r] };
      const list = lists.get(this.annotation[r]);
      if (list) list.push(entry);
      else lists.set(this.annotation[r], [entry]);
    }
    return [...lists.values()];
  }

  private strata(): Int32Array[] {
    const strata = new Map<string, number[]>();
    for (let text = 0; text < this.length; text++) {
      let key = '';
      for (let r = this.start[text]; r < this.start[text + 1]; r++)
        key += `${r > this.start[text] && this.annotation[r] !== this.annotation[r - 1] ? ';' : ','}${this.foundation[r]}`;
      const stratum = strata.get(key);
      if (stratum) stratum.push(text);
      else strata.set(key, [text]);
    }
    return [...strata.keys()].sort().map((key) => Int32Array.from(strata.get(key)!));
  }
}

function tagsByAnnotation(rows: number[], annotation: Int32Array, foundation: Uint8Array): Map<number, string> {
  const tags = new Map<number, string>();
  for (const row of [...rows].sort((a, b) => foundation[a] - foundation[b]))
    tags.set(annotation[row], (tags.get(annotation[row]) ?? '') + (foundation[row] + 1));
  return tags;
}
