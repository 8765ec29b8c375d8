import { argsort } from './ranks.js';
import { Tridiagonal } from './tridiagonal.js';

export interface SymmetricEigen {
  /** Eigenvalues, largest first. */
  values: Float64Array;
  /** Row i is the unit eigenvector of values[i], [n, n]; its entry of the largest size is positive. */
  vectors: Float64Array;
}

/**
 * All eigenvalues and eigenvectors of the symmetric matrix whose upper triangle `a` [n, n] holds, fp64; `a` is left alone.
 * About 8/3 n^3 + 5 n^3 operations.
 */
export function symmetricEigen(a: Float64Array, n: number): SymmetricEigen {
  const t = Tridiagonal.reduce(a, n);
  const rotations = new Rotations();
  const unsorted = qlSweeps(t.diagonal, t.offDiagonal, rotations);
  const rows = t.transposedQ();
  rotations.apply(rows, n);
  const order = argsort(unsorted).reverse();
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    vectors.set(rows.subarray(from * n, (from + 1) * n), to * n);
    fixSign(vectors.subarray(to * n, (to + 1) * n));
  });
  return { values: unsorted.sort().reverse(), vectors };
}

/** The eigenvalues alone, largest first. About 4/3 n^3 operations. */
export function symmetricEigenvalues(a: Float64Array, n: number): Float64Array {
  const t = Tridiagonal.reduce(a, n);
  return tridiagonalEigenvalues(t.diagonal, t.offDiagonal);
}

/** Eigenvalues of the symmetric tridiagonal matrix, largest first; both arrays are left alone. */
export function tridiagonalEigenvalues(diagonal: Float64Array, offDiagonal: Float64Array): Float64Array {
  return qlSweeps(diagonal, offDiagonal).sort().reverse();
}

/** Turns a vector so that its entry of the largest size is positive (the first one, of equals up to rounding). */
export function fixSign(vector: Float64Array): void {
  let largest = 0;
  for (let j = 1; j < vector.length; j++) if (Math.abs(vector[j]) > Math.abs(vector[largest]) * (1 + 1e-9)) largest = j;
  if (vector[largest] < 0) for (let j = 0; j < vector.length; j++) vector[j] = -vector[j];
}

/** Plane rotations of rows (row, row + 1), in the order in which they were made. */
class Rotations {
  private rows = new Int32Array(1 << 16);
  private cosines = new Float64Array(1 << 16);
  private sines = new Float64Array(1 << 16);
  private count = 0;

  push(row: number, cosine: number, sine: number): void {
    if (this.count === this.rows.length) {
      this.rows = grown(this.rows, new Int32Array(2 * this.count));
      this.cosines = grown(this.cosines, new Float64Array(2 * this.count));
      this.sines = grown(this.sines, new Float64Array(2 * this.count));
    }
    this.rows[this.count] = row;
    this.cosines[this.count] = cosine;
    this.sines[this.count++] = sine;
  }

  /** Rotates the rows of `z` [n, n]: a strip of columns at a time, so that the strip stays in the cache for all rotations. */
  apply(z: Float64Array, n: number): void {
    for (let from = 0; from < n; from += STRIP) this.applyToColumns(z, n, from, Math.min(from + STRIP, n));
  }

  private applyToColumns(z: Float64Array, n: number, from: number, to: number): void {
    const { rows, cosines, sines, count } = this;
    let r = 0;
    while (r < count) {
      const upper = rows[r] * n;
      const lower = upper + n;
      const c = cosines[r];
      const s = sines[r];
      if (r + 1 < count && rows[r + 1] === rows[r] - 1) {
        // Two rotations of a sweep share a row.
        const above = upper - n;
        const c2 = cosines[r + 1];
        const s2 = sines[r + 1];
        for (let j = from; j < to; j++) {
          const y = z[upper + j];
          const x = z[lower + j];
          const w = z[above + j];
          z[lower + j] = s * y + c * x;
          const shared = c * y - s * x;
          z[upper + j] = s2 * w + c2 * shared;
          z[above + j] = c2 * w - s2 * shared;
        }
        r += 2;
        continue;
      }
      for (let j = from; j < to; j++) {
        const y = z[upper + j];
        const x = z[lower + j];
        z[lower + j] = s * y + c * x;
        z[upper + j] = c * y - s * x;
      }
      r++;
    }
  }
}

const STRIP = 64;

function grown<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from as Int32Array);
  return to;
}

/**
 * Diagonalises T by the implicit QL method with Wilkinson's shift (Golub and Van Loan 8.3); returns the eigenvalues in no
 * order and notes the rotations that turn Q's columns (the rows of its transpose) into the eigenvectors in that same order.
 */
function qlSweeps(diagonal: Float64Array, offDiagonal: Float64Array, rotations?: Rotations): Float64Array {
  const n = diagonal.length;
  let norm = 0;
  for (let i = 0; i < n; i++) norm = Math.max(norm, Math.abs(diagonal[i]), Math.abs(offDiagonal[i] ?? 0));
  if (!Number.isFinite(norm)) throw new RangeError('the eigenvalues of a matrix with an infinity or NaN in it were asked for');
  if (norm === 0) return new Float64Array(n);
  // Scaled to 1, so that no square under- or overflows.
  const d = diagonal.map((value) => value / norm);
  const e = new Float64Array(n);
  for (let i = 0; i + 1 < n; i++) e[i] = offDiagonal[i] / norm;
  for (let l = 0; l < n; l++) {
    for (;;) {
      let m = l;
      while (m + 1 < n && Math.abs(e[m]) > Number.EPSILON * (Math.abs(d[m]) + Math.abs(d[m + 1])) + 1e-18) m++;
      if (m === l) break;
      const ahead = (d[l + 1] - d[l]) / (2 * e[l]);
      const root = Math.hypot(ahead, 1);
      let g = d[m] - d[l] + e[l] / (ahead + (ahead >= 0 ? root : -root));
      let s = 1;
      let c = 1;
      let p = 0;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i];
        const b = c * e[i];
        const r = Math.sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r === 0) break;
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotations?.push(i, c, s);
      }
      if (i >= l) d[i + 1] -= p;
      else {
        d[l] -= p;
        e[l] = g;
      }
      e[m] = 0;
    }
  }
  return d.map((value) => value * norm);
}
