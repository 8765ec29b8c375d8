/** @file The ids of a served model: the model itself, and one for each arm of its remedies. */

/** `smollm2-135m+remedy:shuffled-00@0.6`, taken apart. */
export interface SteeredId {
  /** Name of a remedy. */
  readonly remedy: string;
  /** One of its arms; undefined: the remedy itself. */
  readonly arm: string | undefined;
  /** Undefined: the server's. */
  readonly strength: number | undefined;
}

/** What a remedy may be called: anything without what parts an id. */
export const REMEDY_NAME = /^[^+:@=,\s]+$/;

/**
 * Reads `MODEL`, `MODEL+REMEDY`, `MODEL+REMEDY:ARM`, each of the last two with `@STRENGTH` or without.
 * @param model what the model is served as; it may hold any character
 * @returns the arm, `unsteered` for the model itself, or undefined for what is no id of this model
 */
export function parseModelId(id: string, model: string): SteeredId | 'unsteered' | undefined {
  if (id === model) return 'unsteered';
  if (!id.startsWith(`${model}+`)) return undefined;
  const [, remedy, arm, strength] =
    /^([^+:@=,\s]+)(?::([^@]+))?(?:@([+-]?(?:\d+\.?\d*|\.\d+)))?$/.exec(id.slice(model.length + 1)) ?? [];
  if (remedy === undefined) return undefined;
  return { remedy, arm, strength: strength === undefined ? undefined : Number(strength) };
}

/** The id that `parseModelId` reads. */
export function formatModelId(model: string, { remedy, arm, strength }: SteeredId): string {
  return `${model}+${remedy}${arm === undefined ? '' : `:${arm}`}${strength === undefined ? '' : `@${strength}`}`;
}
