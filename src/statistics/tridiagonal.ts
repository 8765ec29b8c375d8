/**
 * A symmetric matrix A = Q T Q^T with T tridiagonal and Q the product of n - 2 Householder reflections I - v v^T (Golub and
 * Van Loan 8.3.1). One such reduction serves every ridge penalty, since A + lambda I = Q (T + lambda I) Q^T.
 */
export class Tridiagonal {
  private constructor(
    readonly n: number,
    readonly diagonal: Float64Array,
    /** Entry i stands at (i, i + 1); n - 1 of them. */
    readonly offDiagonal: Float64Array,
    /** Row k holds reflection k's vector, in its columns above k. */
    private readonly reflections: Float64Array,
  ) {}

  /**
   * Reduces the matrix whose upper triangle `a` [n, n] holds. With `inPlace`, `a` is used up: it ends as the reflections.
   * About 4/3 n^3 operations.
   */
  static reduce(a: Float64Array, n: number, options: { inPlace?: boolean } = {}): Tridiagonal {
    if (a.length !== n * n) throw new RangeError(`a matrix of ${n} x ${n} given ${a.length} numbers`);
    const rows = options.inPlace ? a : a.slice();
    const diagonal = new Float64Array(n);
    const offDiagonal = new Float64Array(Math.max(0, n - 1));
    let v = new Float64Array(n);
    let w = new Float64Array(n);
    let u = new Float64Array(n);
    let p = new Float64Array(n);
    // The update by one reflection, A - v w^T - w v^T, waits for the next one's product A u: one pass over A does both.
    for (let k = 0; k < n; k++) {
      const row = rows.subarray(k * n, (k + 1) * n);
      for (let j = k; j < n; j++) row[j] -= v[k] * w[j] + w[k] * v[j];
      diagonal[k] = row[k];
      if (k + 1 < n) offDiagonal[k] = reflect(row, k + 1, u);
      if (k + 2 >= n) continue;
      p.fill(0);
      updateAndMultiply(rows, n, k + 1, v, w, u, p);
      let half = 0;
      for (let j = k + 1; j < n; j++) half += u[j] * p[j];
      half /= 2;
      for (let j = k + 1; j < n; j++) p[j] -= half * u[j];
      row.set(u.subarray(k + 1), k + 1);
      [v, u] = [u, v];
      [w, p] = [p, w];
    }
    return new Tridiagonal(n, diagonal, offDiagonal, rows);
  }

  /** Turns every row y of `rows` [m, n] into Q y, in place. */
  applyQ(rows: Float64Array, m: number): Float64Array {
    const { n, reflections } = this;
    let i = 0;
    for (; i + 4 <= m; i += 4) reflectFourRows(rows, i, n, n - 3, reflections);
    for (; i < m; i++) reflectRow(rows, i, n, n - 3, reflections);
    return rows;
  }

  /** Q transposed, [n, n]: row i is the i-th column of Q. About 4/3 n^3 operations. */
  transposedQ(): Float64Array {
    const { n, reflections } = this;
    const rows = new Float64Array(n * n);
    for (let i = 0; i < n; i++) rows[i * n + i] = 1;
    // Reflection k leaves unit vectors up to k alone.
    let i = 0;
    for (; i + 4 <= n; i += 4) reflectFourRows(rows, i, n, Math.min(n - 3, i + 2), reflections);
    for (; i < n; i++) reflectRow(rows, i, n, Math.min(n - 3, i - 1), reflections);
    return rows;
  }
}

/**
 * The reflection I - u u^T that turns row[from...] into a multiple of the first unit vector; returns that multiple.
 * u is zero before `from`, and zero throughout where there is nothing to turn.
 */
function reflect(row: Float64Array, from: number, u: Float64Array): number {
  const n = row.length;
  u.fill(0);
  let scale = 0;
  for (let j = from + 1; j < n; j++) scale = Math.max(scale, Math.abs(row[j]));
  if (scale === 0) {
    row.fill(0, from + 1);
    const only = row[from];
    row[from] = 0;
    return only;
  }
  scale = Math.max(scale, Math.abs(row[from]));
  let squares = 0;
  for (let j = from; j < n; j++) squares += (row[j] / scale) ** 2;
  const first = row[from] / scale;
  const multiple = first > 0 ? -Math.sqrt(squares) : Math.sqrt(squares);
  const factor = 1 / Math.sqrt(squares - multiple * first);
  u[from] = (first - multiple) * factor;
  for (let j = from + 1; j < n; j++) u[j] = (row[j] / scale) * factor;
  return multiple * scale;
}

/** On the block from `from` on, of which the upper triangle is kept: A -= v w^T + w v^T, then p += A u. */
function updateAndMultiply(
  a: Float64Array,
  n: number,
  from: number,
  v: Float64Array,
  w: Float64Array,
  u: Float64Array,
  p: Float64Array,
): void {
  let i = from;
  // Two rows at a time, so that v, w, u and p are loaded once for both.
  for (; i + 1 < n; i += 2) {
    const x = i * n;
    const y = x + n;
    const v0 = v[i];
    const v1 = v[i + 1];
    const w0 = w[i];
    const w1 = w[i + 1];
    const u0 = u[i];
    const u1 = u[i + 1];
    const d0 = a[x + i] - 2 * v0 * w0;
    const d1 = a[y + i + 1] - 2 * v1 * w1;
    const between = a[x + i + 1] - v0 * w1 - w0 * v1;
    a[x + i] = d0;
    a[y + i + 1] = d1;
    a[x + i + 1] = between;
    let s0 = d0 * u0 + between * u1;
    let s1 = d1 * u1 + between * u0;
    for (let j = i + 2; j < n; j++) {
      const vj = v[j];
      const wj = w[j];
      const uj = u[j];
      const b = a[x + j] - (v0 * wj + w0 * vj);
      const c = a[y + j] - (v1 * wj + w1 * vj);
      a[x + j] = b;
      a[y + j] = c;
      s0 += b * uj;
      s1 += c * uj;
      p[j] += b * u0 + c * u1;
    }
    p[i] += s0;
    p[i + 1] += s1;
  }
  if (i < n) {
    const d = a[i * n + i] - 2 * v[i] * w[i];
    a[i * n + i] = d;
    p[i] += d * u[i];
  }
}

function reflectRow(rows: Float64Array, i: number, n: number, last: number, reflections: Float64Array): void {
  const x = i * n;
  for (let k = last; k >= 0; k--) {
    const r = k * n;
    let s = 0;
    for (let j = k + 1; j < n; j++) s += rows[x + j] * reflections[r + j];
    for (let j = k + 1; j < n; j++) rows[x + j] -= s * reflections[r + j];
  }
}

/** `reflectRow` for rows i ... i + 3; each pass subtracts one reflection and takes the products with the next one. */
function reflectFourRows(rows: Float64Array, i: number, n: number, last: number, reflections: Float64Array): void {
  const x0 = i * n;
  const x1 = x0 + n;
  const x2 = x1 + n;
  const x3 = x2 + n;
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  if (last < 0) return;
  for (let j = last + 1, v = last * n; j < n; j++) {
    s0 += rows[x0 + j] * reflections[v + j];
    s1 += rows[x1 + j] * reflections[v + j];
    s2 += rows[x2 + j] * reflections[v + j];
    s3 += rows[x3 + j] * reflections[v + j];
  }
  for (let k = last; k >= 0; k--) {
    const v = k * n;
    // At k = 0 there is no next reflection: the products then go unused.
    const next = k > 0 ? v - n : v;
    const ahead = reflections[next + k];
    let t0 = rows[x0 + k] * ahead;
    let t1 = rows[x1 + k] * ahead;
    let t2 = rows[x2 + k] * ahead;
    let t3 = rows[x3 + k] * ahead;
    for (let j = k + 1; j < n; j++) {
      const own = reflections[v + j];
      const following = reflections[next + j];
      const r0 = rows[x0 + j] - s0 * own;
      const r1 = rows[x1 + j] - s1 * own;
      const r2 = rows[x2 + j] - s2 * own;
      const r3 = rows[x3 + j] - s3 * own;
      rows[x0 + j] = r0;
      rows[x1 + j] = r1;
      rows[x2 + j] = r2;
      rows[x3 + j] = r3;
      t0 += r0 * following;
      t1 += r1 * following;
      t2 += r2 * following;
      t3 += r3 * following;
    }
    s0 = t0;
    s1 = t1;
    s2 = t2;
    s3 = t3;
  }
}
