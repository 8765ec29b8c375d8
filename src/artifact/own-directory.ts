import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { MoralscopeError } from '../errors.js';
import { isTemporary } from './files.js';

/** Says of unfinished work which artifact it is to become. */
export const BEGUN = '.begun.json';
/** Its presence means that the directory is whole. */
export const MANIFEST = 'manifest.json';

/**
 * Throws `misuse` where writing to a directory could harm files that are not ours: a path that is empty, or a directory that holds anything and
 * is no artifact, finished or begun. What a killed process left before it began (its lock, its temporaries) is no harm.
 * @param nested folders that may stand there before the artifact is begun, where they are artifacts themselves
 */
export async function requireOwnDirectory(path: string, nested: readonly string[] = []): Promise<void> {
  if (path.trim() === '') throw new MoralscopeError('misuse', 'The directory to make has no name.', 'Give --out a name.');
  const dir = resolve(path);
  const strange = await strangeFile(dir, nested);
  if (strange !== undefined)
    throw new MoralscopeError(
      'misuse',
      `${dir} was not made by moralscope: it holds ${strange}.`,
      'Choose another --out: one that does not exist yet, or is empty.',
    );
}

/** The first file found that is not ours; undefined where there is none, or no such directory. */
async function strangeFile(dir: string, nested: readonly string[]): Promise<string | undefined> {
  let entries: { name: string; isDirectory(): boolean }[];
  try {
    entries = await readdir(dir, { withFileTypes: true });
  } catch {
    // What is not there, is a file or cannot be read is told by who makes the directory.
    return undefined;
  }
  const others = entries.filter(({ name }) => !isTemporary(name) && !/^\.lock(\.[\da-f-]{36})?$/.test(name));
  // In this order: who finishes the directory meanwhile writes the one before removing the other.
  if (others.length === 0 || existsSync(join(dir, BEGUN)) || existsSync(join(dir, MANIFEST))) return undefined;
  for (const entry of others) {
    if (!entry.isDirectory() || !nested.includes(entry.name)) return entry.name;
    const inside = await strangeFile(join(dir, entry.name), []);
    if (inside !== undefined) return join(entry.name, inside);
  }
  return undefined;
}
