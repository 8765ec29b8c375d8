/** What a corpus directory says it is, in its manifest. */
export const CORPUS_FORMAT = 'moralscope.corpus';
export const CORPUS_FORMAT_VERSION = 1;

/** The splits of the texts, 80/10/10. */
export const CORPUS_SPLITS = ['train', 'validation', 'test'] as const;
export type CorpusSplit = (typeof CORPUS_SPLITS)[number];
