import type { GraphTensor } from '../graph/session.js';
import type { CacheShape } from './compiled-decoder.js';

/** A text in a cache. */
export interface CachedText {
  readonly cache: DecoderCache;
  /** Which of its texts. */
  readonly text: number;
}

/** Tokens for which there is room beyond those that are there, when room is made. */
const SPARE = 64;

/**
 * Keys and values of the tokens that a decoder has read of a batch of texts, each text with its own number of them. It takes
 * 8 layers heads width bytes a token and text (46 KB for SmolLM2-135M), for as many tokens of each as the longest has and at most
 * half as many again and 64.
 */
export class DecoderCache {
  /** Tokens of each text. */
  lengths = new Int32Array(0);
  /** Texts, and tokens of each, for which there is room. */
  private rows = 0;
  private room = 0;
  /** By name, `{layer}.keys` and `{layer}.values`: [rows, heads, room, width], the texts first, of each its tokens first. */
  private readonly memory = new Map<string, Float32Array>();

  /**
   * @param more tokens that each text will get beyond its first ones: every step reads all the room that there is. Default: nobody knows
   */
  constructor(
    readonly shape: CacheShape,
    private readonly more?: number,
  ) {
    for (let layer = 0; layer < shape.layers; layer++)
      for (const part of ['keys', 'values']) this.memory.set(`${layer}.${part}`, new Float32Array());
  }

  /** A cache of these texts, which may come from several caches of one decoder, and more than once. What they come from stays. */
  static of(texts: readonly CachedText[]): DecoderCache {
    if (texts.length === 0) throw new RangeError('no texts');
    const cache = new DecoderCache(texts[0].cache.shape);
    cache.take(texts);
    return cache;
  }

  /** Number of texts. */
  get texts(): number {
    return this.lengths.length;
  }

  /** Keeps these texts, in this order; one that is named twice goes on in two ways. */
  select(texts: readonly number[]): void {
    this.take(texts.map((text) => ({ cache: this, text })));
  }

  /** Adds these texts, after its own, which are moved only where there is no room. What they come from stays. */
  join(texts: readonly CachedText[]): void {
    this.check(texts);
    const before = this.texts;
    const lengths = Int32Array.from([...own(this), ...texts], ({ cache, text }) => cache.lengths[text]);
    const most = lengths.reduce((a, b) => Math.max(a, b), 0);
    const room = most > this.room ? this.roomFor(most) : this.room;
    if (lengths.length > this.rows || room > this.room) this.rebuild(lengths.length, room, [...own(this), ...texts]);
    else for (const name of this.memory.keys()) this.copy(name, this.memory.get(name)!, this.room, texts, before);
    this.lengths = lengths;
  }

  /** Forgets a text; the last one takes its place. */
  drop(text: number): void {
    const last = this.texts - 1;
    if (!(text >= 0 && text <= last)) throw new RangeError(`text ${text} of ${this.texts}`);
    if (text < last)
      for (const [name, memory] of this.memory) this.copy(name, memory, this.room, [{ cache: this, text: last }], text);
    this.lengths[text] = this.lengths[last];
    this.lengths = this.lengths.slice(0, last);
    const most = this.lengths.reduce((a, b) => Math.max(a, b), 0);
    // What is read in every step is not to be mostly room that a long text left.
    if (last > 0 && this.room > 2 * this.roomFor(most)) this.rebuild(last, this.roomFor(most), own(this));
  }

  /** Forgets all of a text but its first tokens. */
  truncate(text: number, tokens: number): void {
    if (!(tokens >= 1 && tokens <= this.lengths[text]))
      throw new RangeError(`${tokens} of ${this.lengths[text]} tokens of text ${text}`);
    this.lengths[text] = tokens;
  }

  /** Keys and values as the graph takes them, for so many texts if the cache is empty. */
  tensors(texts: number): { room: number; past: Record<string, GraphTensor> } {
    const { heads, width } = this.shape;
    if (this.texts === 0) this.rebuild(texts, 1, []);
    const past: Record<string, GraphTensor> = {};
    const size = texts * heads * this.room * width;
    for (const [name, memory] of this.memory)
      past[`past.${name}`] = { data: memory.subarray(0, size), shape: [texts, heads, this.room, width] };
    return { room: this.room, past };
  }

  /**
   * Adds tokens to each text.
   * @param counts how many of each, up to `length`
   * @param present their keys and values as the graph gives them, [texts, heads, length, width]
   */
  append(counts: Int32Array, length: number, present: Readonly<Record<string, GraphTensor>>): void {
    const { heads, width } = this.shape;
    const before = this.texts === 0 ? new Int32Array(counts.length) : this.lengths;
    const lengths = counts.map((n, text) => n + before[text]);
    const most = lengths.reduce((a, b) => Math.max(a, b));
    if (most > this.room) this.rebuild(counts.length, this.roomFor(most), own(this));
    for (const [name, memory] of this.memory) {
      const { data } = present[`present.${name}`] as { data: Float32Array };
      for (const [text, n] of counts.entries())
        for (let row = text * heads; row < (text + 1) * heads; row++)
          copy(data, row * length * width, n * width, memory, (row * this.room + before[text]) * width);
    }
    this.lengths = lengths;
  }

  /** Tokens to make room for where there are so many: more than these, so that room is made but now and then. */
  private roomFor(tokens: number): number {
    return tokens + (this.more ?? Math.max(SPARE, tokens >> 1));
  }

  private take(texts: readonly CachedText[]): void {
    this.check(texts);
    const lengths = Int32Array.from(texts, ({ cache, text }) => cache.lengths[text]);
    this.rebuild(texts.length, lengths.reduce((a, b) => Math.max(a, b), 0) + SPARE, texts);
    this.lengths = lengths;
  }

  private check(texts: readonly CachedText[]): void {
    for (const { cache, text } of texts) {
      if (!(text >= 0 && text < cache.texts)) throw new RangeError(`text ${text} of ${cache.texts}`);
      const [a, b] = [cache.shape, this.shape];
      if (a.layers !== b.layers || a.heads !== b.heads || a.width !== b.width) throw new RangeError('a cache of another decoder');
    }
  }

  /** Replaces one array after the other, so that at most one of them is there twice. */
  private rebuild(rows: number, room: number, texts: readonly CachedText[]): void {
    const { heads, width } = this.shape;
    for (const name of this.memory.keys()) {
      const memory = new Float32Array(rows * heads * room * width);
      this.copy(name, memory, room, texts, 0);
      this.memory.set(name, memory);
    }
    this.rows = rows;
    this.room = room;
  }

  /** Writes one array's part of these texts, the first of them as text `to`. */
  private copy(name: string, memory: Float32Array, room: number, texts: readonly CachedText[], to: number): void {
    const { heads, width } = this.shape;
    for (const [i, { cache, text }] of texts.entries()) {
      const from = cache.memory.get(name)!;
      for (let head = 0; head < heads; head++) {
        const start = (text * heads + head) * cache.room * width;
        memory.set(from.subarray(start, start + cache.lengths[text] * width), ((to + i) * heads + head) * room * width);
      }
    }
  }
}

/** A step has thousands of these that are as long as one token's, for which making views takes longer than the copying. */
function copy(from: Float32Array, start: number, count: number, to: Float32Array, at: number): void {
  if (count > 512) to.set(from.subarray(start, start + count), at);
  else for (let i = 0; i < count; i++) to[at + i] = from[start + i];
}

function own(cache: DecoderCache): CachedText[] {
  return Array.from(cache.lengths, (_, text) => ({ cache, text }));
}
