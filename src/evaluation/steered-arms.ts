import type { Remedy } from '../alignment/remedy.js';
import { type Arm, REMEDY_ARM } from '../alignment/remedy-schema.js';
import {
  type Intervention,
  type InterventionShape,
  type Mode,
  type Positions,
  STRENGTHS,
  sameShapes,
} from '../model/intervention.js';

/** How a remedy is used, where it can be used in several ways. */
export interface Variant {
  /** Null for a prompt, which changes no states. */
  mode: Mode | null;
  /** The steered sites, by name; the remedy's others are left out. */
  sites: readonly string[];
}

/** Every mode of the remedy, at all its sites and, where it has several, at each alone; one for a prompt. */
export function variantsOf(remedy: Remedy): Variant[] {
  if (remedy.sites.length === 0) return [{ mode: null, sites: [] }];
  const all = remedy.sites.map(({ site }) => site);
  const choices = all.length > 1 ? [all, ...all.map((site) => [site])] : [all];
  return remedy.arm(REMEDY_ARM).modes.flatMap((mode) => choices.map((sites) => ({ mode, sites })));
}

/** What an arm does in a variant; nothing in a prompt's. */
export function interventionsOf(
  remedy: Remedy,
  arm: Pick<Arm, 'name' | 'modes'>,
  variant: Variant,
  positions: Positions,
): Intervention[] {
  const mode = modeOf(arm, variant);
  return remedy.interventions({ arm: arm.name, mode, positions }).filter(({ site }) => variant.sites.includes(site));
}

/** A control that has not the variant's mode is used in its own. */
function modeOf({ modes }: Pick<Arm, 'modes'>, { mode }: Variant): Mode | undefined {
  return mode !== null && modes.includes(mode) ? mode : modes[0];
}

/** The strengths that the variant's mode can take. */
export function strengthsIn({ mode }: Variant, strengths: readonly number[]): number[] {
  return strengths.filter((strength) => mode === null || nearestStrength(strength, mode) === strength);
}

/** The strength, or the nearest that the arm can take: a control in a mode of its own may take less than the remedy. */
export function strengthFor(arm: Pick<Arm, 'modes'>, variant: Variant, strength: number): number {
  const mode = modeOf(arm, variant);
  return mode === undefined ? strength : nearestStrength(strength, mode);
}

function nearestStrength(strength: number, mode: Mode): number {
  const [least, most] = STRENGTHS[mode];
  return Math.min(most, Math.max(least, strength));
}

/** Items whose interventions one graph serves. */
export function byShape<T>(
  items: readonly T[],
  shapesOf: (item: T) => readonly InterventionShape[],
): { shapes: readonly InterventionShape[]; items: T[] }[] {
  const groups: { shapes: readonly InterventionShape[]; items: T[] }[] = [];
  for (const item of items) {
    const shapes = shapesOf(item);
    const group = groups.find((known) => sameShapes(known.shapes, shapes));
    if (group) group.items.push(item);
    else groups.push({ shapes, items: [item] });
  }
  return groups;
}
