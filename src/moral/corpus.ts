import { createHash } from 'node:crypto';
import type { Foundation } from './foundation.js';

/** What a corpus directory says it is, in its manifest. */
export const CORPUS_FORMAT = 'moralscope.corpus';
export const CORPUS_FORMAT_VERSION = 1;

/** The splits of the texts, 80/10/10. */
export const CORPUS_SPLITS = ['train', 'validation', 'test'] as const;
export type CorpusSplit = (typeof CORPUS_SPLITS)[number];

/**
 * Human (or authored) moral judgments of short action texts, held in columns. The unit of every statistic is the TEXT:
 * an action tagged with k foundations is one text with k rows; the same action judged twice is one text with two annotations.
 */
export interface Corpus {
  name: string;
  /** True for the starter corpus, whose judgments were written by its authors and not collected from people. */
  authored: boolean;
  /** sha256 over the canonical content, so that activations can be matched to the corpus they came from. */
  sha256: string;
  /** The distinct actions, trimmed, their final full stop dropped; the index is the text id. */
  texts: string[];
  rows: CorpusRows;
}

/** One entry a row; a row is one (annotation, tagged foundation). */
export interface CorpusRows {
  length: number;
  /** Text id of the row. */
  text: Int32Array;
  /** Id of the annotation the row came from; rows of one annotation share judgment and agreement. */
  annotation: Int32Array;
  /** Index into FOUNDATIONS. */
  foundation: Uint8Array;
  /** Signed judgment v*w in [-1, 1]: m_virtue = max(0, signed), m_vice = max(0, -signed) (docs/paper.md section 1). */
  signed: Float32Array;
}

export type { Foundation };

/**
 * sha256 of a corpus's canonical content, in UTF-8: the texts, then the rows as `text annotation foundation signed`, the
 * last in eighths; each ended by the record separator U+001E.
 */
export function contentHash(texts: readonly string[], rows: CorpusRows): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${text}\x1e`);
  for (let i = 0; i < rows.length; i++)
    hash.update(`${rows.text[i]} ${rows.annotation[i]} ${rows.foundation[i]} ${rows.signed[i] * 8}\x1e`);
  return hash.digest('hex');
}
