/** @file The rules by which the paper names and takes features (docs/paper.md section 6): thresholds of r alone, nothing held out. */

/** `weak`, `mono` (mono-semantic) or `poly` (poly-semantic). */
export type PaperClass = 'weak' | 'mono' | 'poly';

const WEAK = 0.05;
const STRONG = 0.1;
const DOMINANCE = 1.5;
/** Latents of a pole that are taken for their r alone. */
export const TOP = 50;

/**
 * The reporting rule: weak if max |r| < .05; mono-semantic if exactly one |r| > .1, or exactly two that are an opposed pair; else
 * poly-semantic. A correlation that is not a number counts as 0.
 * @param r with each of the ten poles, in their order
 */
export function paperClass(r: ArrayLike<number>): PaperClass {
  const sizes = Array.from(r, size);
  if (Math.max(...sizes) < WEAK) return 'weak';
  const strong = [...sizes.keys()].filter((pole) => sizes[pole] > STRONG);
  const opposed = strong.length === 2 && strong[0] % 2 === 0 && strong[1] === strong[0] + 1;
  return strong.length === 1 || opposed ? 'mono' : 'poly';
}

/** Why the paper fine-tunes a latent: its largest |r| stands out, or it is among the strongest of a pole. */
export interface FineTunedFor {
  pole: number;
  rule: 'dominant' | 'top';
}

/**
 * The set that the paper fine-tunes: latents with max |r| > .1 whose largest |r| is above 1.5 times the second, and the 50 with the
 * largest r > .1 of each pole.
 * @param r [width, poles]
 * @returns by latent, the first rule that takes it
 */
export function paperFineTuned(r: Float64Array, poles: number): Map<number, FineTunedFor> {
  const width = r.length / poles;
  const taken = new Map<number, FineTunedFor>();
  for (let latent = 0; latent < width; latent++) {
    const pole = dominantPole(r.subarray(latent * poles, (latent + 1) * poles));
    if (pole !== undefined) taken.set(latent, { pole, rule: 'dominant' });
  }
  for (let pole = 0; pole < poles; pole++) {
    const of = (latent: number) => r[latent * poles + pole];
    const above = Array.from({ length: width }, (_, latent) => latent).filter((latent) => of(latent) > STRONG);
    for (const latent of above.sort((a, b) => of(b) - of(a) || a - b).slice(0, TOP))
      if (!taken.has(latent)) taken.set(latent, { pole, rule: 'top' });
  }
  return taken;
}

/** The pole whose |r| is above .1 and above 1.5 times any other's. */
export function dominantPole(r: ArrayLike<number>): number | undefined {
  const sizes = Array.from(r, size);
  const [first, second = 0] = [...sizes].sort((a, b) => b - a);
  return first > STRONG && first > DOMINANCE * second ? sizes.indexOf(first) : undefined;
}

const size = (r: number) => (Number.isNaN(r) ? 0 : Math.abs(r));
