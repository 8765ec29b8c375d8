/** @file Judged texts from files of JSON lines, plain or gzipped: pairs of actions, or texts with a label each. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { pairsHash, readPairs } from '../alignment/contrast-pairs.js';
import { sha256File } from '../artifact/files.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { actionText, normalisedText } from '../moral/text.js';
import type { LabelledTexts } from './labelled-texts.js';

const LINES_OF_LABELS =
  'Give JSON lines with a string "text" or "action" and a "label": 1 or true for good, 0 or false for bad, or signed numbers with 0 for neutral.';

/**
 * Pairs of a good and a bad action, one a line (`readPairs`, which `align` fits on). A unit is a pair.
 * @throws MoralscopeError `not-found`, `bad-file` naming the line
 */
export async function labelledPairs(path: string): Promise<LabelledTexts> {
  const { pairs } = await readPairs(path);
  if (pairs.length === 0) throw new MoralscopeError('bad-file', `${path} holds no pairs.`, 'Give a file that does.');
  const texts = pairs.flatMap(({ virtue, vice }) => [virtue, vice]);
  return {
    name: nameOf(path),
    sha256: pairsHash(pairs),
    authored: null,
    kind: 'pairs',
    texts,
    valence: Float32Array.from(texts, (_, i) => (i % 2 === 0 ? 1 : -1)),
    unit: Int32Array.from(texts, (_, i) => i >> 1),
    units: pairs.length,
    pairs: Int32Array.from(texts.keys()),
  };
}

/**
 * Texts with a label each, one a line: `{"text": "...", "label": 1}`. Where some label is below 0 labels are signed judgments, 0 neutral;
 * else 0 is bad and above 0 is good. Lines with the same text are one unit.
 * @throws MoralscopeError `not-found`, `bad-file` naming the line, `cancelled`
 */
export async function labelledLines(path: string, signal?: AbortSignal): Promise<LabelledTexts> {
  const texts: string[] = [];
  const labels: number[] = [];
  await eachRow(path, signal, (row, fail) => {
    const field = row.text === undefined ? 'action' : 'text';
    texts.push(textOf(row[field], field, fail));
    const label = typeof row.label === 'boolean' ? Number(row.label) : row.label;
    if (typeof label !== 'number' || !Number.isFinite(label))
      throw fail(`"label" is ${JSON.stringify(row.label) ?? 'missing'}, which is no number`);
    labels.push(label);
  });
  const signed = labels.some((label) => label < 0);
  const units = new Map<string, number>();
  const unit = Int32Array.from(texts, (text) => {
    const form = normalisedText(text);
    if (!units.has(form)) units.set(form, units.size);
    return units.get(form)!;
  });
  return {
    name: nameOf(path),
    sha256: await sha256File(path, signal),
    authored: null,
    kind: 'labelled',
    texts,
    valence: Float32Array.from(labels, (label) => (signed ? label : label > 0 ? 1 : -1)),
    unit,
    units: units.size,
  };
}

const nameOf = (path: string) =>
  basename(path)
    .replace(/\.gz$/, '')
    .replace(/\.(jsonl|ndjson)$/, '');

function textOf(value: unknown, field: string, fail: (what: string) => MoralscopeError): string {
  const text = typeof value === 'string' ? actionText(value) : '';
  if (text === '') throw fail(`"${field}" is ${JSON.stringify(value) ?? 'missing'}, where a text is needed`);
  return text;
}

async function eachRow(
  path: string,
  signal: AbortSignal | undefined,
  visit: (row: Record<string, unknown>, fail: (what: string) => MoralscopeError) => void,
): Promise<void> {
  const file = await stat(path).catch((cause) => {
    throw new MoralscopeError('not-found', `${path} cannot be read: ${cause.message}.`, LINES_OF_LABELS, { cause });
  });
  if (!file.isFile()) throw new MoralscopeError('not-found', `${path} is no file.`, LINES_OF_LABELS);
  const bytes = createReadStream(path);
  const unzip = path.endsWith('.gz') ? createGunzip() : undefined;
  // A pipe does not pass errors on.
  if (unzip) bytes.on('error', (error: Error) => unzip.destroy(error)).pipe(unzip);
  const lines = createInterface({ input: unzip ?? bytes, crlfDelay: Infinity });
  let number = 0;
  let rows = 0;
  try {
    for await (const line of lines) {
      if (number++ % 4096 === 0) throwIfCancelled(signal);
      const text = number === 1 ? line.replace(/^\uFEFF/, '') : line;
      if (text.trim() === '') continue;
      const fail = (what: string, cause?: unknown) =>
        new MoralscopeError('bad-file', `${path}, line ${number}: ${what}.`, LINES_OF_LABELS, { cause });
      let row: unknown;
      try {
        row = JSON.parse(text);
      } catch (cause) {
        throw fail('it is not JSON', cause);
      }
      if (typeof row !== 'object' || row === null || Array.isArray(row)) throw fail('it is no JSON object');
      visit(row as Record<string, unknown>, fail);
      rows++;
    }
  } catch (cause) {
    if (cause instanceof MoralscopeError) throw cause;
    throw new MoralscopeError('bad-file', `${path} cannot be read: ${(cause as Error).message}.`, LINES_OF_LABELS, { cause });
  }
  if (rows === 0) throw new MoralscopeError('bad-file', `${path} holds no lines.`, LINES_OF_LABELS);
}
