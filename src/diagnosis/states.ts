import { MoralscopeError } from '../errors.js';

/** States of n texts at one site and pooling: row-major [n, d]. */
export interface States {
  n: number;
  d: number;
  data: Float32Array;
}

/** The rows of `states` at these positions. */
export function select(states: States, positions: Int32Array): States {
  const { d } = states;
  const data = new Float32Array(positions.length * d);
  positions.forEach((p, i) => {
    data.set(states.data.subarray(p * d, (p + 1) * d), i * d);
  });
  return { n: positions.length, d, data };
}

/**
 * Refuses NaN and infinities, which would turn every figure into NaN in silence.
 * @param nameOf how messages call the text in row i
 */
export function requireFinite(states: States, where: string, nameOf: (i: number) => string = (i) => `text ${i}`): void {
  for (let i = 0; i < states.data.length; i++)
    if (!Number.isFinite(states.data[i]))
      throw new MoralscopeError(
        'bad-data',
        `${where}: the state of ${nameOf(Math.floor(i / states.d))} holds ${states.data[i]} at channel ${i % states.d}.`,
        'Capture again; if it stays, the model overflows in this precision.',
      );
}

/** Column means, fp64. */
export function columnMeans({ n, d, data }: States): Float64Array {
  const mean = new Float64Array(d);
  for (let i = 0; i < n; i++) for (let j = 0, at = i * d; j < d; j++, at++) mean[j] += data[at];
  for (let j = 0; j < d; j++) mean[j] /= n;
  return mean;
}

/** h~ = h - mean over the texts (docs/paper.md section 2), subtracted in fp64 before rounding: the constants are far larger than the signal. */
export function centre(states: States): States {
  const { n, d, data } = states;
  const mean = columnMeans(states);
  const centred = new Float32Array(data.length);
  for (let i = 0; i < n; i++) for (let j = 0, at = i * d; j < d; j++, at++) centred[at] = data[at] - mean[j];
  return { n, d, data: centred };
}

/** Squared norms of the rows, fp64. */
export function squaredNorms({ n, d, data }: States): Float64Array {
  const squares = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let at = i * d, end = at + d; at < end; at++) sum += data[at] * data[at];
    squares[i] = sum;
  }
  return squares;
}

/** Mean cosine over all pairs of different rows: (|sum of unit rows|^2 - n) / (n (n - 1)). Rows of norm 0 are left out; null where fewer than two are left. */
export function anisotropy(states: States): number | null {
  const { n, d, data } = states;
  const squares = squaredNorms(states);
  const sum = new Float64Array(d);
  let used = 0;
  for (let i = 0; i < n; i++) {
    if (squares[i] === 0) continue;
    used++;
    const scale = 1 / Math.sqrt(squares[i]);
    for (let j = 0, at = i * d; j < d; j++, at++) sum[j] += data[at] * scale;
  }
  let square = 0;
  for (let j = 0; j < d; j++) square += sum[j] * sum[j];
  return used < 2 ? null : (square - used) / (used * (used - 1));
}

/**
 * Regresses every channel on an intercept and the given columns (fp64, orthonormalised by Gram-Schmidt).
 * Returns the residuals with the channel means kept, and the share of the total variance that the columns explain.
 */
export function regressOut(states: States, columns: Float64Array[]): { residual: States; explained: number } {
  const { n, d } = states;
  const basis: Float64Array[] = [];
  for (const column of columns) {
    const q = Float64Array.from(column);
    const ones = new Float64Array(n).fill(1 / Math.sqrt(n));
    const before = Math.sqrt(dot(q, q));
    for (let pass = 0; pass < 2; pass++)
      for (const b of [ones, ...basis]) {
        const along = dot(q, b);
        for (let i = 0; i < n; i++) q[i] -= along * b[i];
      }
    const norm = Math.sqrt(dot(q, q));
    if (norm > 1e-9 * before) basis.push(q.map((v) => v / norm));
  }
  const mean = columnMeans(states);
  const residual = new Float32Array(n * d);
  const loads = basis.map(() => new Float64Array(d));
  let total = 0;
  for (let i = 0; i < n; i++)
    for (let j = 0, at = i * d; j < d; j++, at++) {
      const v = states.data[at] - mean[j];
      total += v * v;
      for (let b = 0; b < basis.length; b++) loads[b][j] += basis[b][i] * v;
    }
  let explained = 0;
  for (const load of loads) explained += dot(load, load);
  for (let i = 0; i < n; i++)
    for (let j = 0, at = i * d; j < d; j++, at++) {
      let v = states.data[at];
      for (let b = 0; b < basis.length; b++) v -= basis[b][i] * loads[b][j];
      residual[at] = v;
    }
  return { residual: { n, d, data: residual }, explained: total > 0 ? explained / total : 0 };
}

/** 1 / length of each text in tokens: what a mean over tokens leaves of the sink (docs/paper.md section 2, "The sink"). */
export const inverseLength = (tokens: Int32Array): Float64Array => Float64Array.from(tokens, (t) => 1 / t);

/** What "length regressed out" removes: 1 / length and length. */
export const lengthColumns = (tokens: Int32Array): Float64Array[] => [inverseLength(tokens), Float64Array.from(tokens)];

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
