import { argsort } from './ranks.js';
import { Tridiagonal } from './tridiagonal.js';

export interface SymmetricEigen {
  /** All eigenvalues, largest first. */
  values: Float64Array;
  /** Row i is the unit eigenvector of values[i], [count, n]; its entry of the largest size is positive. */
  vectors: Float64Array;
}

/**
 * Eigenvalues and eigenvectors of the symmetric matrix whose upper triangle `a` [n, n] holds, fp64; `a` is left alone.
 * About 4/3 n^3 operations, and 6 n^2 for each eigenvector.
 * @param keep how many eigenvectors, of the largest eigenvalues, are wanted, given all eigenvalues; default: all
 */
export function symmetricEigen(a: Float64Array, n: number, keep: (values: Float64Array) => number = () => n): SymmetricEigen {
  const t = Tridiagonal.reduce(a, n);
  const rotations = new Rotations();
  const unsorted = qlSweeps(t.diagonal, t.offDiagonal, rotations);
  const order = argsort(unsorted).reverse();
  const values = Float64Array.from(order, (at) => unsorted[at]);
  const count = Math.min(n, keep(values));
  const vectors = t.applyQ(rotations.product(n, order.subarray(0, count)), count);
  for (let i = 0; i < count; i++) fixSign(vectors.subarray(i * n, (i + 1) * n));
  return { values, vectors };
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
export function fixSign(vector: Float64Array | Float32Array): void {
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

  /**
   * Columns of the product of all rotations, as rows, [columns.length, n]. A strip of them at a time goes through the
   * rotations from the last to the first, and stays in the cache meanwhile.
   */
  product(n: number, columns: Int32Array): Float64Array {
    const out = new Float64Array(columns.length * n);
    const lastTouch = this.lastTouch(n);
    // Columns side by side that come alive at about the same time: until then they are unit vectors.
    const byIndex = Int32Array.from(columns.keys()).sort((a, b) => columns[a] - columns[b]);
    for (let from = 0; from < byIndex.length; from += STRIP) {
      const members = byIndex.subarray(from, from + STRIP);
      const strip = new Float64Array(n * STRIP);
      let last = -1;
      members.forEach((member, c) => {
        strip[columns[member] * STRIP + c] = 1;
        last = Math.max(last, lastTouch[columns[member]]);
      });
      this.apply(strip, last);
      members.forEach((member, c) => {
        for (let i = 0; i < n; i++) out[member * n + i] = strip[i * STRIP + c];
      });
    }
    return out;
  }

  /** The last rotation that moves each row, -1 for none. */
  private lastTouch(n: number): Int32Array {
    const last = new Int32Array(n).fill(-1);
    for (let r = 0; r < this.count; r++) last[this.rows[r]] = last[this.rows[r] + 1] = r;
    return last;
  }

  /** Rotates the rows of `z` [n, STRIP] by the rotations from `last` down to the first. */
  private apply(z: Float64Array, last: number): void {
    const { rows, cosines, sines } = this;
    let r = last;
    while (r >= 0) {
      const a = rows[r] * STRIP;
      const b = a + STRIP;
      const c0 = cosines[r];
      const s0 = sines[r];
      // Rotations of a sweep share rows: four of them at a time read five rows in place of eight.
      if (r >= 3 && rows[r - 3] === rows[r] + 3 && rows[r - 1] === rows[r] + 1 && rows[r - 2] === rows[r] + 2) {
        const c = b + STRIP;
        const d = c + STRIP;
        const e = d + STRIP;
        const c1 = cosines[r - 1];
        const s1 = sines[r - 1];
        const c2 = cosines[r - 2];
        const s2 = sines[r - 2];
        const c3 = cosines[r - 3];
        const s3 = sines[r - 3];
        for (let j = 0; j < STRIP; j++) {
          const za = z[a + j];
          const zb = z[b + j];
          const zc = z[c + j];
          const zd = z[d + j];
          const ze = z[e + j];
          z[a + j] = c0 * za + s0 * zb;
          const b1 = c0 * zb - s0 * za;
          z[b + j] = c1 * b1 + s1 * zc;
          const b2 = c1 * zc - s1 * b1;
          z[c + j] = c2 * b2 + s2 * zd;
          const b3 = c2 * zd - s2 * b2;
          z[d + j] = c3 * b3 + s3 * ze;
          z[e + j] = c3 * ze - s3 * b3;
        }
        r -= 4;
        continue;
      }
      for (let j = 0; j < STRIP; j++) {
        const za = z[a + j];
        const zb = z[b + j];
        z[a + j] = c0 * za + s0 * zb;
        z[b + j] = c0 * zb - s0 * za;
      }
      r--;
    }
  }
}

const STRIP = 32;

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
