import { z } from 'zod';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { MoralscopeError } from '../../errors.js';

export const count = z.int().positive();

/** No decoder has more: a damaged number cannot ask for memory without end. */
export const layerCount = count.max(1000);
export const contextLength = count.max(1 << 24);

/**
 * What the schema says of a checkpoint's configuration.
 * @param prefix of the keys, for messages
 * @throws MoralscopeError `bad-file`
 */
export function readConfiguration<T extends z.ZodType>(
  schema: T,
  metadata: unknown,
  { path, architecture }: Checkpoint,
  prefix = '',
): z.infer<T> {
  const { data, error } = schema.safeParse(metadata);
  if (error)
    throw new MoralscopeError(
      'bad-file',
      `${path}: the model's configuration is not that of a ${architecture}: ${prefix}${error.issues[0].path.join('.')}: ${error.issues[0].message}.`,
      'Fetch the model again, or choose another.',
    );
  return data;
}

/** Refuses what would change the numbers if it were ignored. @throws MoralscopeError `unsupported` */
export function refuseUnless({ path }: Checkpoint, what: string, value: unknown, ...known: readonly unknown[]): void {
  if (known.includes(value)) return;
  throw new MoralscopeError(
    'unsupported',
    `${path}: its ${what} is ${JSON.stringify(value)}; only ${known.map((one) => JSON.stringify(one)).join(', ')} is known.`,
    'Choose another model.',
  );
}
