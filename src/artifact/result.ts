import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { MoralscopeError } from '../errors.js';

/**
 * Reads a file that a finished artifact holds.
 * @param parse turns its text into what the schema checks; default: JSON
 * @throws MoralscopeError `bad-file` that names the file, and the field where it is not what was written
 */
export async function readResult<T>(
  path: string,
  schema: z.ZodType<T>,
  parse: (text: string) => unknown = JSON.parse,
): Promise<T> {
  const fix = `Remove the directory ${dirname(path)}, and run the command that made it again.`;
  let content: unknown;
  try {
    content = parse(await readFile(path, 'utf8'));
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const what = code === 'ENOENT' ? 'is missing' : `is damaged: ${message}`;
    throw new MoralscopeError('bad-file', `${path} ${what}.`, fix, { cause });
  }
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new MoralscopeError('bad-file', `${path} is damaged: ${issue.path.join('.')} ${issue.message}.`, fix);
}

/** Lines of JSON, for {@link readResult}. */
export function jsonLines(text: string): unknown[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}
