import { MoralscopeError } from '../../errors.js';
import { type Intervention, type InterventionShape, requireStrength, sameShapes, shapeOf } from '../intervention.js';
import type { GenerationOptions } from './options.js';

/** Changes to a model by name, all of the same shapes. */
export type Arms = Readonly<Record<string, readonly Intervention[]>>;

/**
 * The shapes of all arms; none without arms.
 * @throws MoralscopeError `misuse` naming an arm of other shapes than the first
 */
export function shapesOfArms(arms: Arms): InterventionShape[] {
  const [first, ...others] = Object.entries(arms).map(([name, interventions]) => ({ name, shapes: interventions.map(shapeOf) }));
  const other = others.find(({ shapes }) => !sameShapes(shapes, first.shapes));
  if (other)
    throw new MoralscopeError(
      'misuse',
      `The arms ${first.name} and ${other.name} change the model at other sites or in other ways.`,
      'Open a generator for each kind of arm.',
    );
  return first?.shapes ?? [];
}

/** @throws MoralscopeError `misuse` for an arm that is not there, or a strength out of its range */
export function requireArm(arms: Arms, { arm, strength = 1 }: Pick<GenerationOptions, 'arm' | 'strength'>): void {
  if (arm === undefined) return;
  if (!Object.hasOwn(arms, arm))
    throw new MoralscopeError('misuse', `There is no arm ${arm}.`, `There are: ${Object.keys(arms).join(', ') || 'none'}.`);
  for (const { change } of arms[arm]) requireStrength(strength, change.mode);
}
