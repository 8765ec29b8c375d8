import { POLES } from './foundation.js';

/** The levels |v*w| that annotations can have, above neutral (docs/paper.md section 1). */
export const LEVELS = [0.125, 0.25, 0.375, 0.5, 0.75, 1] as const;

/**
 * The signed judgment v*w in [-1, 1] of an annotation, v = judgment / 2, w = agreement / 4 (docs/paper.md section 1).
 * @param judgment action-moral-judgment, an integer from -2 (very bad) to 2 (very good)
 * @param agreement action-agree, the share of people who would agree, an integer from 0 (under 1%) to 4 (over 99%)
 */
export function signedJudgment(judgment: number, agreement: number): number {
  return (judgment * agreement) / 8 + 0; // no negative zero
}

/**
 * The moral vector of an annotation (docs/paper.md section 1): ten slots in [0, 1] in the order of POLES. Each foundation it is
 * tagged with gets max(0, signed) in its virtue's slot and max(0, -signed) in its vice's; all other slots are 0.
 * @param foundations indices into FOUNDATIONS
 */
export function moralVector(signed: number, foundations: Iterable<number>): Float32Array {
  const vector = new Float32Array(POLES.length);
  for (const foundation of foundations) {
    vector[2 * foundation] = Math.max(0, signed);
    vector[2 * foundation + 1] = Math.max(0, -signed);
  }
  return vector;
}
