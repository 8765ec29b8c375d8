import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { sha256 } from '../artifact/files.js';
import { MoralscopeError } from '../errors.js';

/** A good and a bad action that differ in little else. */
export interface ContrastPair {
  virtue: string;
  vice: string;
}

/** What the two fields of a line may be called: ours, and those of Moral Stories. */
const FIELDS = [
  ['virtue', 'vice'],
  ['moral_action', 'immoral_action'],
] as const;

/**
 * The pairs of a JSONL file, gzipped where its name ends in .gz, with the fields `virtue` and `vice`, or `moral_action` and `immoral_action`. A pair with a text that an
 * earlier one has is left out, so that no text is on two sides of a split.
 * @throws MoralscopeError `not-found`; `bad-file` naming the line
 */
export async function readPairs(path: string): Promise<{ pairs: ContrastPair[]; repeated: number }> {
  const bytes = await readFile(path).catch((cause) => {
    throw new MoralscopeError('not-found', `${path} cannot be read: ${cause.message}.`, 'Give a JSONL file of pairs.', { cause });
  });
  const content = (path.endsWith('.gz') ? unzipped(bytes, path) : bytes).toString('utf8');
  const pairs: ContrastPair[] = [];
  const seen = new Set<string>();
  let repeated = 0;
  for (const [i, line] of content
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    if (line.trim() === '') continue;
    const pair = pairOf(line, `${path}, line ${i + 1}`);
    if (seen.has(pair.virtue) || seen.has(pair.vice)) repeated++;
    else pairs.push(pair);
    seen.add(pair.virtue).add(pair.vice);
  }
  return { pairs, repeated };
}

/** What tells these pairs from others. */
export const pairsHash = (pairs: readonly ContrastPair[]) => sha256(JSON.stringify(pairs));

function unzipped(bytes: Buffer, path: string): Buffer {
  try {
    return gunzipSync(bytes);
  } catch (cause) {
    throw new MoralscopeError(
      'bad-file',
      `${path} is no whole gzip file: ${(cause as Error).message}.`,
      'Fetch it again, or give it unzipped.',
      { cause },
    );
  }
}

function pairOf(line: string, where: string): ContrastPair {
  const bad = (what: string, cause?: unknown) =>
    new MoralscopeError(
      'bad-file',
      `${where} ${what}.`,
      `Write one JSON object a line, with the texts ${FIELDS.map((names) => names.join(' and ')).join(', or ')}.`,
      { cause },
    );
  let row: Record<string, unknown> | null;
  try {
    row = JSON.parse(line);
  } catch (cause) {
    throw bad('is not JSON', cause);
  }
  const names = FIELDS.find((fields) => fields.every((field) => row?.[field] !== undefined));
  if (!row || !names) throw bad('holds no pair');
  const [virtue, vice] = names.map((name) => {
    const text = row[name];
    if (typeof text !== 'string' || text.trim() === '') throw bad(`has no text in ${name}`);
    return text.trim();
  });
  if (virtue === vice) throw bad('has the same text twice');
  return { virtue, vice };
}
