/** Poolings of a text's token states (docs/paper.md section 2). */
export const POOLINGS = ['last', 'content', 'mean'] as const;
export type Pooling = (typeof POOLINGS)[number];

/** Token states of a batch at one site. */
export interface BatchStates {
  /** [rows, hidden], row-major; texts that begin alike share rows. */
  states: Float32Array;
  /** The row of each token, [texts, padded]; what lies beyond a text's length is ignored. */
  place: Int32Array;
  /** Number of tokens of each text, at least 1. */
  lengths: Int32Array;
  padded: number;
  hidden: number;
}

export interface PooledStates {
  /** [texts, hidden] for each pooling asked for. */
  pooled: Partial<Record<Pooling, Float32Array>>;
  /** [texts, 2]: norm of the first token's state, median norm of the others (NaN for a text of one token). */
  norms: Float32Array;
}

/**
 * Pools every text of a batch in one pass; sums and norms in fp64.
 *
 * - `last`: the last real token's state.
 * - `mean`: mean over the real tokens, the first and the template's included.
 * - `content`: mean over the real tokens that are no sink. Position 0 is a sink, and so is a token whose norm exceeds
 *   `threshold`; a text of nothing but sinks has its last token's state instead.
 */
export function poolStates(batch: BatchStates, threshold: number, poolings: readonly Pooling[]): PooledStates {
  const { states, place, lengths, padded, hidden } = batch;
  const texts = lengths.length;
  const norms = rowNorms(batch);
  const pooled: PooledStates['pooled'] = {};
  for (const pooling of poolings) pooled[pooling] = new Float32Array(texts * hidden);
  const { last, content, mean } = pooled;
  const normPair = new Float32Array(texts * 2);
  const contentAt = new Int32Array(padded);
  const sinkAt = new Int32Array(padded);
  const contentSum = new Float64Array(hidden);
  const sinkSum = new Float64Array(hidden);

  for (let text = 0; text < texts; text++) {
    const length = lengths[text];
    let contents = 0;
    let sinks = 0;
    const rows = place.subarray(text * padded, text * padded + length);
    for (const [t, row] of rows.entries()) {
      if (t === 0 || norms[row] > threshold) sinkAt[sinks++] = row * hidden;
      else contentAt[contents++] = row * hidden;
    }
    normPair[2 * text] = norms[rows[0]];
    normPair[2 * text + 1] = median(Float64Array.from(rows.subarray(1), (row) => norms[row]));

    const to = text * hidden;
    const lastAt = rows[length - 1] * hidden;
    last?.set(states.subarray(lastAt, lastAt + hidden), to);
    if (content || mean) sumStates(states, contentAt, contents, contentSum);
    if (content) {
      if (contents === 0) content.set(states.subarray(lastAt, lastAt + hidden), to);
      else for (let i = 0; i < hidden; i++) content[to + i] = contentSum[i] / contents;
    }
    if (mean) {
      sumStates(states, sinkAt, sinks, sinkSum);
      for (let i = 0; i < hidden; i++) mean[to + i] = (contentSum[i] + sinkSum[i]) / length;
    }
  }
  return { pooled, norms: normPair };
}

/** Norms of the tokens of a batch, text after text, in fp64. */
export function tokenNorms(batch: BatchStates): Float64Array[] {
  const { place, lengths, padded } = batch;
  const norms = rowNorms(batch);
  return Array.from(lengths, (length, text) =>
    Float64Array.from(place.subarray(text * padded, text * padded + length), (row) => norms[row]),
  );
}

function rowNorms({ states, hidden }: BatchStates): Float64Array {
  return Float64Array.from({ length: states.length / hidden }, (_, row) => Math.sqrt(squaredNorm(states, row * hidden, hidden)));
}

/** Median of some values, NaN for none. Sorts them in place. */
export function median(values: Float64Array): number {
  values.sort();
  const middle = values.length >> 1;
  return values.length % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/** Four sums side by side: one alone waits for each addition, and this loop is most of the cost of pooling. */
function squaredNorm(states: Float32Array, at: number, hidden: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const whole = at + (hidden & ~3);
  let i = at;
  for (; i < whole; i += 4) {
    const p = states[i];
    const q = states[i + 1];
    const r = states[i + 2];
    const s = states[i + 3];
    a += p * p;
    b += q * q;
    c += r * r;
    d += s * s;
  }
  for (; i < at + hidden; i++) a += states[i] * states[i];
  return a + b + (c + d);
}

/** sum = the sum of the states that start at the first `count` offsets; four columns at a time stay in registers. */
function sumStates(states: Float32Array, offsets: Int32Array, count: number, sum: Float64Array): void {
  const hidden = sum.length;
  const whole = hidden & ~3;
  let i = 0;
  for (; i < whole; i += 4) {
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let k = 0; k < count; k++) {
      const at = offsets[k] + i;
      a += states[at];
      b += states[at + 1];
      c += states[at + 2];
      d += states[at + 3];
    }
    sum[i] = a;
    sum[i + 1] = b;
    sum[i + 2] = c;
    sum[i + 3] = d;
  }
  for (; i < hidden; i++) {
    let a = 0;
    for (let k = 0; k < count; k++) a += states[offsets[k] + i];
    sum[i] = a;
  }
}
