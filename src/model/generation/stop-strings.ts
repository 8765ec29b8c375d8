/**
 * Ends a text that comes in pieces before the first of some strings. What may be the beginning of one is held back until it is known
 * not to be.
 */
export class StopStrings {
  /** The string that was found. */
  found: string | undefined;
  private held = '';

  constructor(private readonly strings: readonly string[]) {}

  /** The text that can be given out once this piece is there; nothing more after a string was found. */
  push(piece: string): string {
    if (this.found !== undefined) return '';
    const text = this.held + piece;
    const at = this.first(text);
    const end = at ?? text.length - this.begun(text);
    this.held = at === undefined ? text.slice(end) : '';
    return text.slice(0, end);
  }

  /** What was held back. */
  end(): string {
    const text = this.held;
    this.held = '';
    return text;
  }

  private first(text: string): number | undefined {
    let first: number | undefined;
    for (const string of this.strings) {
      const at = text.indexOf(string);
      if (at >= 0 && (first === undefined || at < first)) {
        first = at;
        this.found = string;
      }
    }
    return first;
  }

  /** Length of the text's longest end that a string begins with. */
  private begun(text: string): number {
    let longest = 0;
    for (const string of this.strings)
      for (let n = Math.min(string.length - 1, text.length); n > longest; n--)
        if (string.startsWith(text.slice(text.length - n))) longest = n;
    return longest;
  }
}
