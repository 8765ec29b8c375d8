import type { z } from 'zod';
import { MoralscopeError } from './errors.js';

/**
 * Options with their defaults filled in.
 * @param nameOf how the user knows the field, in messages
 * @throws MoralscopeError `misuse` naming the first field that is wrong
 */
export function parseOptions<S extends z.ZodObject>(
  schema: S,
  given: unknown,
  nameOf: (field: string) => string = (field) => field,
): z.output<S> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new MoralscopeError('misuse', `${nameOf(String(issue?.path[0] ?? 'options'))}: ${issue?.message}.`);
}
