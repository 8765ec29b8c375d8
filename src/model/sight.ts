import type { BlockSpec } from './spec.js';

/** What a block's tokens see of those before them. */
export interface Sight {
  /** So many tokens, itself included; null: all. */
  readonly window: number | null;
  /** None of another chunk of so many tokens; null: a text is one chunk. */
  readonly chunk: number | null;
}

export function sightOf({ window, chunk }: BlockSpec): Sight {
  return { window, chunk: chunk ?? null };
}

/** Each kind of these blocks' sights once. */
export function distinctSights(blocks: readonly BlockSpec[]): Sight[] {
  const sights = blocks.map(sightOf);
  return sights.filter((sight, i) => sights.findIndex((other) => sightName(other) === sightName(sight)) === i);
}

/** The name of the graph's input with its bias. */
export function sightName({ window, chunk }: Sight): string {
  return `bias.${window ?? 'all'}.${chunk ?? 'all'}`;
}

/** Far below any score, and far from the end of the range. */
export const UNSEEN = -1e30;

/**
 * What is to be added to the scores of new tokens, so that they see what they should: 0 or far less than any score,
 * [texts, 1, length, room + length], for keys of earlier tokens and then of these.
 * @param cached earlier tokens of each text
 * @param room earlier tokens for which there is room
 * @param length new tokens
 */
export function sightBias({ window, chunk }: Sight, cached: Int32Array, room: number, length: number): Float32Array {
  const bias = new Float32Array(cached.length * length * (room + length)).fill(UNSEEN);
  for (const [text, before] of cached.entries())
    for (let i = 0; i < length; i++) {
      const position = before + i;
      const first = Math.max(window === null ? 0 : position - window + 1, chunk === null ? 0 : position - (position % chunk));
      const row = (text * length + i) * (room + length);
      if (first < before) bias.fill(0, row + Math.max(first, 0), row + before);
      bias.fill(0, row + room + Math.max(first - before, 0), row + room + i + 1);
    }
  return bias;
}
