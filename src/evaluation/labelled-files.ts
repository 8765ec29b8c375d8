/** @file Judged texts from files of JSON lines, plain or gzipped: pairs of actions, or texts with a label each. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { sha256File } from '../artifact/files.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { actionText, normalisedText } from '../moral/text.js';
import type { LabelledTexts } from './labelled-texts.js';

const LINES_OF_PAIRS = 'Give JSON lines with the strings "moral_action" and "immoral_action".';
const LINES_OF_LABELS =
  'Give JSON lines with a string "text" or "action" and a "label": 1 or true for good, 0 or false for bad, or signed numbers with 0 for neutral.';

/**
 * Pairs of a moral and an immoral action, one a line (Moral Stories and the like): `{"moral_action": "...", "immoral_action": "..."}`.
 * A unit is a pair.
 * @throws MoralscopeError `not-found`, `bad-file` naming the line, `cancelled`
 */
export async function readPairs(path: string, signal?: AbortSignal): Promise<LabelledTexts> {
  const texts: string[] = [];
  await eachRow(path, LINES_OF_PAIRS, signal, (row, fail) => {
    for (const field of ['moral_action', 'immoral_action']) texts.push(textOf(row[field], field, fail));
  });
  const units = texts.length / 2;
  return {
    ...(await described(path, signal)),
    kind: 'pairs',
    texts,
    valence: Float32Array.from(texts, (_, i) => (i % 2 === 0 ? 1 : -1)),
    unit: Int32Array.from(texts, (_, i) => i >> 1),
    units,
    pairs: Int32Array.from(texts.keys()),
  };
}

/**
 * Texts with a label each, one a line: `{"text": "...", "label": 1}`. Where some label is below 0 labels are signed judgments, 0 neutral;
 * else 0 is bad and above 0 is good. Lines with the same text are one unit.
 * @throws MoralscopeError `not-found`, `bad-file` naming the line, `cancelled`
 */
export async function readLabelled(path: string, signal?: AbortSignal): Promise<LabelledTexts> {
  const texts: string[] = [];
  const labels: number[] = [];
  await eachRow(path, LINES_OF_LABELS, signal, (row, fail) => {
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
    ...(await described(path, signal)),
    kind: 'labelled',
    texts,
    valence: Float32Array.from(labels, (label) => (signed ? label : label > 0 ? 1 : -1)),
    unit,
    units: units.size,
  };
}

async function described(path: string, signal?: AbortSignal) {
  return {
    name: basename(path)
      .replace(/\.gz$/, '')
      .replace(/\.(jsonl|ndjson)$/, ''),
    sha256: await sha256File(path, signal),
    authored: null,
  };
}

function textOf(value: unknown, field: string, fail: (what: string) => MoralscopeError): string {
  const text = typeof value === 'string' ? actionText(value) : '';
  if (text === '') throw fail(`"${field}" is ${JSON.stringify(value) ?? 'missing'}, where a text is needed`);
  return text;
}

async function eachRow(
  path: string,
  fix: string,
  signal: AbortSignal | undefined,
  visit: (row: Record<string, unknown>, fail: (what: string) => MoralscopeError) => void,
): Promise<void> {
  const file = await stat(path).catch((cause) => {
    throw new MoralscopeError('not-found', `${path} cannot be read: ${cause.message}.`, fix, { cause });
  });
  if (!file.isFile()) throw new MoralscopeError('not-found', `${path} is no file.`, fix);
  const bytes = createReadStream(path);
  const stream = path.endsWith('.gz') ? bytes.pipe(createGunzip()) : bytes;
  const lines = createInterface({ input: stream, crlfDelay: Infinity });
  // An error of the file does not pass through the pipe, and without an ear would end the process.
  let broken: Error | undefined;
  for (const one of [bytes, stream])
    one.on('error', (error: Error) => {
      broken ??= error;
      lines.close();
    });
  let number = 0;
  let rows = 0;
  for await (const line of lines) {
    if (number++ % 4096 === 0) throwIfCancelled(signal);
    const text = number === 1 ? line.replace(/^\uFEFF/, '') : line;
    if (text.trim() === '') continue;
    const fail = (what: string, cause?: unknown) =>
      new MoralscopeError('bad-file', `${path}, line ${number}: ${what}.`, fix, { cause });
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
  if (broken) throw new MoralscopeError('bad-file', `${path} cannot be read: ${broken.message}.`, fix, { cause: broken });
  if (rows === 0) throw new MoralscopeError('bad-file', `${path} holds no lines.`, fix);
}
