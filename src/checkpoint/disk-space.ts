import { statfs } from 'node:fs/promises';
import { MoralscopeError } from '../errors.js';

/**
 * Throws MoralscopeError `disk` unless the file system of `directory` has room for `bytes` more and 16 MiB to spare.
 * Where the file system does not tell, nothing is refused.
 */
export async function requireFreeSpace(directory: string, bytes: number): Promise<void> {
  const free = await statfs(directory).then(
    (s) => s.bavail * s.bsize,
    () => Number.POSITIVE_INFINITY,
  );
  if (bytes + (16 << 20) <= free) return;
  throw new MoralscopeError(
    'disk',
    `${directory} needs ${megabytes(bytes)} and has ${megabytes(free)} free.`,
    'Free some space, or set MORALSCOPE_CACHE to a directory on another disk.',
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toLocaleString('en', { maximumFractionDigits: 1 })} MB`;
}
