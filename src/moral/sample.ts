import { Random } from '../random.js';
import { type Corpus, contentHash } from './corpus.js';

/** The most rows of a cell that the diagnostic sample takes (docs/paper.md section 1, "Diagnostic subset"). */
export const SAMPLE_LIMITS = { belowFull: 300, full: 150, neutral: 300 } as const;

/**
 * The stratified sample that the analyses work on (docs/paper.md section 1): of each foundation at most 300 rows a pole and level
 * below 1, 150 at level 1, and 300 neutral ones. The corpus itself where no cell exceeds its limit.
 *
 * Texts are taken whole or left out, never split, for they are the unit of every statistic. Cells are filled from the scarcest
 * to the most common, each by drawing its texts in random order; a text is passed over where one of its rows would exceed the
 * limit of any cell. A cell may so stay a little under its limit, and texts with very many annotations are left out.
 * Texts and rows keep their order; text and annotation ids are counted anew.
 */
export function diagnosticSample(corpus: Corpus, seed: number): Corpus {
  const cells = cellsOf(corpus);
  const total = counts(cells.ofRow, cells.number);
  if (total.every((n, cell) => n <= cells.limit[cell])) return corpus;

  const rowsOfText = groups(corpus.rows.text, corpus.texts.length);
  const rowsOfCell = groups(cells.ofRow, cells.number);
  const order = new Random(seed, 'diagnostic sample').permutation(corpus.texts.length);
  const rank = new Int32Array(order.length);
  for (let i = 0; i < order.length; i++) rank[order[i]] = i;

  const taken = new Uint8Array(corpus.texts.length);
  const filled = new Int32Array(cells.number);
  const byScarcity = Array.from(total.keys()).sort((a, b) => total[a] - total[b] || a - b);
  for (const cell of byScarcity) {
    const candidates = [...new Set(rowsOfCell(cell).map((row) => corpus.rows.text[row]))].sort((a, b) => rank[a] - rank[b]);
    for (const text of candidates) {
      if (filled[cell] >= cells.limit[cell]) break;
      if (taken[text]) continue;
      const rows = rowsOfText(text);
      for (const row of rows) filled[cells.ofRow[row]]++;
      if (rows.every((row) => filled[cells.ofRow[row]] <= cells.limit[cells.ofRow[row]])) taken[text] = 1;
      else for (const row of rows) filled[cells.ofRow[row]]--;
    }
  }
  return subset(corpus, taken, `${corpus.name}, diagnostic sample`);
}

/** A cell is a foundation with a signed judgment in eighths; neutral is 0. */
function cellsOf({ rows }: Corpus): { number: number; ofRow: Int32Array; limit: number[] } {
  const ids = new Map<string, number>();
  const limit: number[] = [];
  const ofRow = new Int32Array(rows.length);
  for (let i = 0; i < rows.length; i++) {
    const key = `${rows.foundation[i]} ${rows.signed[i]}`;
    let id = ids.get(key);
    if (id === undefined) {
      id = ids.size;
      ids.set(key, id);
      const level = Math.abs(rows.signed[i]);
      limit.push(level === 0 ? SAMPLE_LIMITS.neutral : level === 1 ? SAMPLE_LIMITS.full : SAMPLE_LIMITS.belowFull);
    }
    ofRow[i] = id;
  }
  return { number: ids.size, ofRow, limit };
}

function counts(groupOf: Int32Array, groups: number): Int32Array {
  const n = new Int32Array(groups);
  for (const group of groupOf) n[group]++;
  return n;
}

/** The members of each group, in rising order. */
function groups(groupOf: Int32Array, number: number): (group: number) => Int32Array {
  const start = new Int32Array(number + 1);
  for (const group of groupOf) start[group + 1]++;
  for (let g = 0; g < number; g++) start[g + 1] += start[g];
  const members = new Int32Array(groupOf.length);
  const next = start.slice();
  for (let i = 0; i < groupOf.length; i++) members[next[groupOf[i]]++] = i;
  return (group) => members.subarray(start[group], start[group + 1]);
}

/** The texts marked in `taken`, with all their rows. */
function subset(corpus: Corpus, taken: Uint8Array, name: string): Corpus {
  const newText = new Int32Array(corpus.texts.length);
  const texts = corpus.texts.filter((_, text) => taken[text]);
  for (let text = 0, n = 0; text < newText.length; text++) newText[text] = taken[text] ? n++ : -1;
  const { rows } = corpus;
  const kept = Array.from(rows.text.keys()).filter((row) => taken[rows.text[row]]);
  const newAnnotation = new Map<number, number>();
  const annotation = Int32Array.from(kept, (row) => {
    const old = rows.annotation[row];
    if (!newAnnotation.has(old)) newAnnotation.set(old, newAnnotation.size);
    return newAnnotation.get(old)!;
  });
  const sampled = {
    length: kept.length,
    text: Int32Array.from(kept, (row) => newText[rows.text[row]]),
    annotation,
    foundation: Uint8Array.from(kept, (row) => rows.foundation[row]),
    signed: Float32Array.from(kept, (row) => rows.signed[row]),
  };
  return { name, authored: corpus.authored, sha256: contentHash(texts, sampled), texts, rows: sampled };
}
