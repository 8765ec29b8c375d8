import { readFile } from 'node:fs/promises';
import { MoralscopeError } from '../errors.js';

/**
 * The texts of a file: one a line, or, where the name ends in .jsonl, the `text` field of every line. Empty lines are left out.
 * @throws MoralscopeError `not-found`, or `bad-file` naming the line
 */
export async function readTexts(path: string): Promise<string[]> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (cause) {
    throw new MoralscopeError('not-found', `${path} cannot be read: ${(cause as Error).message}.`, 'Give a file of texts.', {
      cause,
    });
  }
  const lines = content.replace(/^\uFEFF/, '').split(/\r?\n/);
  const texts = path.endsWith('.jsonl') ? lines.map((line, i) => (line.trim() === '' ? '' : textOf(line, path, i + 1))) : lines;
  return texts.filter((text) => text.trim() !== '');
}

function textOf(line: string, path: string, number: number): string {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw new MoralscopeError('bad-file', `${path}, line ${number} is not JSON.`, 'Write one JSON object a line.', { cause });
  }
  const text = (row as { text?: unknown } | null)?.text;
  if (typeof text !== 'string')
    throw new MoralscopeError(
      'bad-file',
      `${path}, line ${number}: "text" is ${JSON.stringify(text) ?? 'missing'}.`,
      'Give every line a "text" string.',
    );
  return text;
}
