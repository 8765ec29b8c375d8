/**
 * Ends a text that comes in pieces before that of some strings which is whole first. What may be the beginning of one is held back
 * until it is known not to be.
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

  /** Where the string begins that is whole first. */
  private first(text: string): number | undefined {
    let [first, end]: [number | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
    for (const string of this.strings) {
      const at = text.indexOf(string);
      if (at < 0 || at + string.length > end || (at + string.length === end && at > first!)) continue;
      [first, end, this.found] = [at, at + string.length, string];
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
