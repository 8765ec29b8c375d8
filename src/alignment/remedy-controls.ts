/** @file Controls that every remedy has alike (docs/paper.md section 8): their names, and random directions. */
import { Random } from '../random.js';
import type { Arm } from './remedy-schema.js';

const twoDigits = (i: number) => String(i).padStart(2, '0');

/** Names of a series of arms: `shuffled-00`, `shuffled-01` and on. */
export function armNames(series: 'shuffled' | 'relabelled' | 'neutral', count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${series}-${twoDigits(i)}`);
}

/** The arms `random-00+`, `random-00-`, `random-01+` and on: of every direction both signs. */
export function randomArms(count: number, seed: number, modes: Arm['modes']): Arm[] {
  return Array.from({ length: count }, (_, i) =>
    ([1, -1] as const).map(
      (sign): Arm => ({ name: `random-${twoDigits(i)}${sign > 0 ? '+' : '-'}`, kind: 'random', modes, sign, seed }),
    ),
  ).flat();
}

/**
 * The vectors of `randomArms` at a site, in their order: uniform on the sphere of that radius, each with its negative.
 * @returns [2 count] of [hidden]
 */
export function randomDirections(count: number, hidden: number, norm: number, seed: number, site: string): Float32Array[] {
  return Array.from({ length: count }, (_, i) => {
    const random = new Random(seed, 'random direction', site, i);
    const drawn = Float64Array.from({ length: hidden }, () => random.normal());
    const scale = norm / Math.hypot(...drawn);
    return [1, -1].map((sign) => Float32Array.from(drawn, (value) => sign * scale * value));
  }).flat();
}
