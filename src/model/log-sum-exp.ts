// exp(-y) = 2^-(k >> 11) * 2^-((k & 2047) / 2048) * exp(r), with |r| < 3.4e-4: a cubic in r is exact in fp64. A vocabulary's
// worth of Math.exp for each text would cost several times as much as all poolings together.
const STEPS = 2048;
const FRACTIONS = Float64Array.from({ length: STEPS }, (_, j) => 2 ** (-j / STEPS));
const POWERS = Float64Array.from({ length: 1076 }, (_, k) => 2 ** -k);
const STEP = Math.LN2 / STEPS;
const STEPS_PER_UNIT = STEPS / Math.LN2;
const THIRD = 1 / 3;
const LARGEST = 744;

/** exp(-y) for y from 0 up, in fp64. */
export function decayed(y: number): number {
  if (y > LARGEST) return 0;
  const k = (y * STEPS_PER_UNIT) | 0;
  const r = k * STEP - y;
  return POWERS[k >>> 11] * FRACTIONS[k & (STEPS - 1)] * (1 + r * (1 + r * 0.5 * (1 + r * THIRD)));
}

/** log(sum(exp(x))) over x[from .. from + n), in fp64, shifted by the largest. */
export function logSumExp(x: Float32Array, from: number, n: number): number {
  const end = from + n;
  const largest = maximum(x, from, end);
  let sum = 0;
  for (let i = from; i < end; i++) sum += decayed(largest - x[i]);
  return largest + Math.log(sum);
}

/** The largest of x[from .. end). */
export function maximum(x: Float32Array, from: number, end: number): number {
  let a = x[from];
  let b = a;
  let c = a;
  let d = a;
  let i = from;
  for (; i + 3 < end; i += 4) {
    if (x[i] > a) a = x[i];
    if (x[i + 1] > b) b = x[i + 1];
    if (x[i + 2] > c) c = x[i + 2];
    if (x[i + 3] > d) d = x[i + 3];
  }
  for (; i < end; i++) if (x[i] > a) a = x[i];
  return Math.max(a, b, c, d);
}
