/** Texts as token ids, padded on the right to one length with any token. */
export interface TokenBatch {
  /** [batch, length] */
  ids: Int32Array;
  /** Tokens of each text, 1 to `length`. */
  lengths: Int32Array;
  batch: number;
  length: number;
}

/**
 * What a decoder computes of a batch: a token's state depends on nothing but the tokens up to it, so texts that begin alike
 * share the rows of their common beginning, and padding has none.
 */
export interface TokenRows {
  /** Token of each row, [rows]. */
  ids: Int32Array;
  /** Its position in its text, from 0, [rows]. */
  positions: Int32Array;
  /** The row of each token of the batch, [batch, length]; that of a text's last token where there is padding. */
  place: Int32Array;
  /** A token of the batch that has this row, as an index into `place`, [rows]. */
  first: Int32Array;
}

/** What of a batch has rows of its own though it begins like other texts. */
export interface Separation {
  /** The group of each text, from 0, [batch]: only texts of one group share rows. Default: all do. */
  groups?: readonly number[];
  /** Whether the last token of each text shares its row with none. Default: false. */
  last?: boolean;
}

/** One row for each distinct beginning of a batch's texts, in the order in which they occur. */
export function distinctBeginnings({ ids, lengths, batch, length }: TokenBatch, { groups, last }: Separation = {}): TokenRows {
  const place = new Int32Array(batch * length);
  const first = new Int32Array(batch * length);
  const positions = new Int32Array(batch * length);
  const most = groups?.reduce((a, b) => Math.max(a, b)) ?? 0;
  // By the row of the beginning one token shorter (-1 - group: none) and the token that follows it.
  const known = new Map<number, number>();
  let rows = 0;
  for (let text = 0; text < batch; text++) {
    let row = -1 - (groups?.[text] ?? 0);
    for (let position = 0; position < length; position++) {
      const at = text * length + position;
      if (position < lengths[text]) {
        const key = (row + 1 + most) * 2 ** 31 + ids[at];
        const apart = last && position === lengths[text] - 1;
        const found = apart ? undefined : known.get(key);
        if (found === undefined) {
          first[rows] = at;
          positions[rows] = position;
          if (!apart) known.set(key, rows);
        }
        row = found ?? rows++;
      }
      place[at] = row;
    }
  }
  return {
    ids: first.subarray(0, rows).map((at) => ids[at]),
    positions: positions.slice(0, rows),
    place,
    first: first.slice(0, rows),
  };
}

/**
 * A row for each token, in their order, of texts of which so many tokens were read before: these may be different where the new
 * ones are alike.
 */
export function everyToken({ ids, lengths, batch, length }: TokenBatch, before: Int32Array): TokenRows {
  const place = new Int32Array(batch * length);
  const first: number[] = [];
  const positions: number[] = [];
  for (let at = 0; at < place.length; at++) {
    const [text, i] = [Math.floor(at / length), at % length];
    if (i < lengths[text]) {
      positions.push(before[text] + i);
      first.push(at);
    }
    place[at] = first.length - 1;
  }
  return {
    ids: Int32Array.from(first, (at) => ids[at]),
    positions: Int32Array.from(positions),
    place,
    first: Int32Array.from(first),
  };
}

/** Some rows of an array [rows, width], one after the other. */
export function takeRows(states: Float32Array, width: number, rows: Int32Array): Float32Array {
  const taken = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    taken.set(states.subarray(row * width, (row + 1) * width), i * width);
  });
  return taken;
}
