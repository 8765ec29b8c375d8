import type { Tokenizer } from './tokenizer.js';

/**
 * Text of ids that come one after another. A token that ends inside a character is held back until the character is whole, so that
 * no piece has half of one. All pieces together are what `decode` gives for all ids; only where bytes that are no character stand beside
 * characters that are spelled in bytes does `decode` give those up too.
 *
 * @example
 * const stream = new TextStream(tokenizer);
 * for (const id of ids) process.stdout.write(stream.push(id));
 * process.stdout.write(stream.end());
 */
export class TextStream {
  /** Ids whose text is out but which the next ones are decoded with, then those that are held back. */
  private ids: number[];
  private context: number;
  private readonly options: { skipSpecialTokens?: boolean };

  /** @param options.after ids that the stream's go on from: some tokenizers write the first word of a text without its space */
  constructor(
    private readonly tokenizer: Tokenizer,
    { after, ...options }: { skipSpecialTokens?: boolean; after?: ArrayLike<number> } = {},
  ) {
    this.options = options;
    this.ids = Array.from(after ?? []);
    this.context = this.ids.length;
    // The rest of a character that was cut has nothing to go on from.
    if (this.context > 0 && tokenizer.decode(this.ids, options).endsWith('\ufffd')) this.restart();
  }

  /** The text that the id adds; empty where a character is not whole yet. */
  push(id: number): string {
    this.ids.push(id);
    const text = this.pending();
    if (text === '' || text.endsWith('\ufffd')) return '';
    this.ids = this.ids.slice(this.context);
    this.context = this.ids.length;
    return text;
  }

  /** What was held back; bytes that are no character become U+FFFD. The stream begins anew. */
  end(): string {
    const text = this.pending();
    this.restart();
    return text;
  }

  private restart(): void {
    this.ids = [];
    this.context = 0;
  }

  private pending(): string {
    const before = this.tokenizer.decode(this.ids.slice(0, this.context), this.options);
    return this.tokenizer.decode(this.ids, this.options).slice(before.length);
  }
}
