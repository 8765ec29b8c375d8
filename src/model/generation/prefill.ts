import { type CachedText, DecoderCache } from '../decoder-cache.js';
import type { DecodingSession } from '../decoding-session.js';
import type { Intervention } from '../intervention.js';
import type { Steering } from '../steering.js';
import type { Sequence } from './sequence.js';

/** Scores of attention, and logits, of one run: 128 MiB of the former, which are there a few times over, and 64 of the latter. */
const SCORES = 1 << 25;
const LOGITS = 1 << 24;

/** A sequence that has taken its first token, and where its prompt's keys and values are. */
export interface ReadPrompt extends CachedText {
  readonly sequence: Sequence;
}

/** Reads the prompts of some sequences together, part by part; then what all of them begin with as if it were one text. */
export class Prefill {
  private cache: DecoderCache;
  /** Tokens of each that have been read. */
  private read = 0;
  /** Tokens of each that are read as one text. */
  private readonly shared: number;
  private waiting: readonly Sequence[];

  constructor(
    private readonly session: DecodingSession,
    sequences: readonly Sequence[],
    private readonly interventions: readonly Intervention[] | undefined,
  ) {
    this.waiting = sequences;
    this.cache = session.cache();
    const [{ strength }] = sequences;
    const alike = sequences.length > 1 && (!interventions || sequences.every((other) => other.strength === strength));
    this.shared = alike ? sharedBeginning(sequences.map(({ prompt }) => prompt)) : 0;
  }

  /** Those that wait for the rest of their prompt. */
  get sequences(): readonly Sequence[] {
    return this.waiting;
  }

  /**
   * Reads a part of at most so many tokens.
   * @returns the sequences whose prompts end with it
   */
  async next(tokens: number): Promise<ReadPrompt[]> {
    const { read, shared, waiting, cache } = this;
    const apart = this.part(
      waiting.map((sequence) => [sequence]),
      Number.POSITIVE_INFINITY,
      tokens,
    );
    // Where the prompts fit one run, it computes what they begin with but once anyway.
    const together = read < shared && (read > 0 || apart.length < Math.max(...apart.left));
    const { readers, left, all, length } = together ? this.part([waiting], shared, tokens) : apart;
    const lengths = Int32Array.from(left, (n) => Math.min(n, length));
    const ids = new Int32Array(readers.length * length);
    const asked: number[] = [];
    for (const [text, [{ prompt }]] of readers.entries()) {
      ids.set(prompt.subarray(read, read + lengths[text]), text * length);
      for (let i = 0; i < lengths[text]; i++) if (all[text] || read + i === prompt.length - 1) asked.push(text * length + i);
    }
    const batch = { ids, lengths, batch: readers.length, length };
    const steering = steeringOf(
      readers.map(([first]) => first),
      this.interventions,
    );
    const { logits, logitsRow } = await this.session.prefill(cache, batch, steering, {
      read: Int32Array.from(asked.length > 0 ? asked : [0]),
      ends: readers.map(([{ prompt }], text) => read + lengths[text] === prompt.length),
    });
    const { vocabulary } = this.session.compiled;
    for (const [i, at] of asked.entries()) {
      const row = logits!.subarray(logitsRow[i] * vocabulary, (logitsRow[i] + 1) * vocabulary);
      for (const sequence of readers[Math.floor(at / length)]) sequence.takePrompt(read + (at % length), row);
    }
    this.read += length;
    if (together) {
      if (this.read === shared) this.cache = DecoderCache.of(waiting.map(() => ({ cache, text: 0 })));
      return [];
    }
    const isRead = ({ prompt }: Sequence) => prompt.length <= this.read;
    const ready = [...waiting.entries()].filter(([, sequence]) => isRead(sequence));
    this.keep((sequence) => !isRead(sequence));
    return ready.map(([text, sequence]) => ({ sequence, cache, text }));
  }

  /** Goes on without the others. */
  keep(wanted: (sequence: Sequence) => boolean): void {
    const kept = [...this.waiting.keys()].filter((i) => wanted(this.waiting[i]));
    if (kept.length === this.waiting.length) return;
    const { cache } = this;
    // The texts of a cache that is handed on stay where they are.
    if (cache.texts === this.waiting.length && kept.length > 0)
      this.cache = DecoderCache.of(kept.map((text) => ({ cache, text })));
    this.waiting = kept.map((i) => this.waiting[i]);
  }

  /** How far to read prompts up to a token, each of the sequences that begin with it, in a run of at most so many tokens. */
  private part(readers: readonly (readonly Sequence[])[], end: number, tokens: number) {
    const { vocabulary, cache } = this.session.compiled;
    const left = readers.map(([{ prompt }]) => Math.min(prompt.length, end) - this.read);
    const all = readers.map((some) => some.some(({ readsAll }) => readsAll));
    const fits = (length: number) => {
      let [rows, logits] = [0, 0];
      for (const [text, n] of left.entries()) {
        rows += Math.min(n, length);
        if (all[text]) logits += Math.min(n, length) * vocabulary;
      }
      const scores = cache!.queries * left.length * length * (this.read + length);
      return rows <= tokens && logits <= LOGITS && scores <= SCORES;
    };
    let [length, over] = [1, Math.max(...left) + 1];
    while (over - length > 1) {
      const middle = (length + over) >> 1;
      if (fits(middle)) length = middle;
      else over = middle;
    }
    return { readers, left, all, length };
  }
}

/** What is done to the states of these texts, each with the strength of its own. */
export function steeringOf(texts: readonly Sequence[], interventions: readonly Intervention[] | undefined): Steering | undefined {
  return interventions && { interventions, strength: Float32Array.from(texts, ({ strength }) => strength) };
}

/** How many tokens all of these begin with, of each all but the last, after which the first new token comes. */
function sharedBeginning(texts: readonly Int32Array[]): number {
  const [first, ...others] = texts;
  const most = Math.min(...texts.map(({ length }) => length)) - 1;
  let n = 0;
  while (n < most && others.every((text) => text[n] === first[n])) n++;
  return n;
}
