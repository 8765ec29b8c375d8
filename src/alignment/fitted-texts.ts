import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ArtifactDirectory } from '../artifact/directory.js';
import { sha256, writeFileAtomic } from '../artifact/files.js';
import { actionText, normalisedText } from '../moral/text.js';
import { damaged } from './remedy-tensors.js';

/** @file Which texts a remedy was fitted on, told by their hashes: no other data set may be judged on one of them. */

const FILE = 'fitted-texts.txt';
const DIGITS = 16;

/** The same for two texts that differ in case, spaces or full stop alone, whatever file they are from. */
export function textKey(text: string): string {
  return sha256(normalisedText(actionText(text))).slice(0, DIGITS);
}

/** Writes the keys of these texts, one a line. */
export async function writeFittedTexts(directory: ArtifactDirectory, texts: readonly string[]): Promise<void> {
  const keys = [...new Set(texts.map(textKey))].sort();
  await writeFileAtomic(directory.file(FILE), keys.map((key) => `${key}\n`).join(''));
}

/**
 * The keys of the texts that the remedy in this directory was fitted on.
 * @throws MoralscopeError `bad-file` where the file is missing, or holds something else
 */
export async function readFittedTexts(path: string): Promise<ReadonlySet<string>> {
  const content = await readFile(join(path, FILE), 'utf8').catch((cause: Error) => {
    throw damaged(join(path, FILE), cause.message, cause);
  });
  const keys = content.split('\n').slice(0, -1);
  const wrong = keys.findIndex((key) => !/^[0-9a-f]{16}$/.test(key));
  if (wrong >= 0) throw damaged(join(path, FILE), `line ${wrong + 1} is no hash of a text`);
  return new Set(keys);
}
