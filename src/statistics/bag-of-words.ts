/** Words of a text in lower case: runs of letters and digits, apostrophes inside them kept ("don't"). */
export function words(text: string): string[] {
  return (
    text
      .normalize('NFC')
      .toLowerCase()
      .replaceAll('\u2019', "'")
      .match(/[\p{L}\p{M}\p{N}]+(?:'[\p{L}\p{M}\p{N}]+)*/gu) ?? []
  );
}

/** Words and pairs of neighbouring words. */
function terms(text: string): string[] {
  const single = words(text);
  return [...single, ...single.slice(1).map((word, i) => `${single[i]} ${word}`)];
}

/**
 * Texts as counts of words and word pairs, weighted by rarity among the training texts (smoothed inverse document frequency)
 * and scaled to length 1, as sklearn's TfidfVectorizer: the floor that no model is needed for (docs/paper.md section 3.5).
 */
export class BagOfWords {
  private constructor(
    /** Column of each term. */
    readonly vocabulary: ReadonlyMap<string, number>,
    private readonly rarity: Float64Array,
  ) {}

  /**
   * The vocabulary of the training texts, and only theirs.
   * @param options.minTexts a term must occur in, default 2
   * @param options.limit the terms found in most texts are kept, ties by alphabet; default 2,048
   */
  static fit(training: readonly string[], options: { minTexts?: number; limit?: number } = {}): BagOfWords {
    const { minTexts = 2, limit = 2048 } = options;
    const found = new Map<string, number>();
    for (const text of training) for (const term of new Set(terms(text))) found.set(term, (found.get(term) ?? 0) + 1);
    const kept = [...found]
      .filter(([, texts]) => texts >= minTexts)
      .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
      .slice(0, limit);
    return new BagOfWords(
      new Map(kept.map(([term], column) => [term, column])),
      Float64Array.from(kept, ([, texts]) => Math.log((1 + training.length) / (1 + texts)) + 1),
    );
  }

  get size(): number {
    return this.vocabulary.size;
  }

  /** Rows [texts, size]; a text without a known term is a row of zeros. */
  matrix(texts: readonly string[]): Float32Array {
    const { size, vocabulary, rarity } = this;
    const out = new Float32Array(texts.length * size);
    texts.forEach((text, i) => {
      const row = new Map<number, number>();
      for (const term of terms(text)) {
        const column = vocabulary.get(term);
        if (column !== undefined) row.set(column, (row.get(column) ?? 0) + rarity[column]);
      }
      const norm = Math.hypot(...row.values());
      for (const [column, value] of row) out[i * size + column] = value / norm;
    });
    return out;
  }
}
