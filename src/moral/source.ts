import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { MoralscopeError } from '../errors.js';
import { type Database, identifier, literal } from './database.js';
import { delimitedRecords } from './delimited.js';

const FORMATS = { '.tsv': 'tsv', '.csv': 'csv', '.jsonl': 'jsonl', '.ndjson': 'jsonl', '.parquet': 'parquet' } as const;

/** A table of annotations in a file, as the database sees it: every column is text, an empty field is null. */
export interface Source {
  path: string;
  format: (typeof FORMATS)[keyof typeof FORMATS];
  columns: string[];
  /** A table expression, to stand after FROM. */
  relation: string;
}

/**
 * Looks at a file's header.
 * @param scratch a directory where a copy may be put that the database can read
 * @throws MoralscopeError `not-found`, `unsupported` (by its extension) or `bad-file` (empty, no header, column named twice)
 */
export async function openSource(path: string, database: Database, scratch: string): Promise<Source> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile()) throw new MoralscopeError('not-found', `${path} is not a file.`, 'Give the path of a table, or a name.');
  const format = FORMATS[extname(path).toLowerCase() as keyof typeof FORMATS];
  if (!format)
    throw new MoralscopeError(
      'unsupported',
      `${path}: the extension ${extname(path) || '(none)'} says nothing about its format.`,
      `Give a file that ends in ${Object.keys(FORMATS).join(', ')}.`,
    );
  if (info.size === 0) throw new MoralscopeError('bad-file', `${path} is empty.`, 'Give a table with a header and rows.');
  const source = { path, format, columns: [] as string[], relation: '' };
  try {
    if (format === 'parquet') await openParquet(source, database);
    else if (format === 'jsonl') await openJsonLines(source, database, scratch);
    else await openDelimited(source);
  } catch (error) {
    throw await explainedFailure(source, error);
  }
  return source;
}

async function openDelimited(source: Source): Promise<void> {
  const { path } = source;
  for await (const header of delimitedRecords(path, delimiter(source))) {
    if (header.problem !== undefined)
      throw new MoralscopeError('bad-file', `${path} line ${header.line}: ${header.problem}.`, 'Repair the header.');
    source.columns = header.fields;
    break;
  }
  if (source.columns.length === 0) throw new MoralscopeError('bad-file', `${path} has no header.`, 'Give a table with a header.');
  const seen = new Set<string>();
  for (const [i, name] of source.columns.entries()) {
    if (name === '') throw new MoralscopeError('bad-file', `${path} line 1: column ${i + 1} has no name.`, 'Name every column.');
    if (seen.has(name.toLowerCase()))
      throw new MoralscopeError('bad-file', `${path} line 1: two columns are named ${name}.`, 'Rename one of them.');
    seen.add(name.toLowerCase());
  }
  const columns = source.columns.map((name) => `${literal(name)}: 'VARCHAR'`).join(', ');
  source.relation =
    `read_csv(${literal(path)}, auto_detect = false, header = true, columns = {${columns}}, ` +
    `delim = ${literal(delimiter(source))}, quote = '"', escape = '"', strict_mode = true)`;
}

async function openJsonLines(source: Source, database: Database, scratch: string): Promise<void> {
  const readable = (await beginsWithByteOrderMark(source.path)) ? join(scratch, '.source.jsonl') : source.path;
  if (readable !== source.path) await pipeline(createReadStream(source.path, { start: 3 }), createWriteStream(readable));
  const keys = await database.rows<{ key: string }>(
    `SELECT key FROM (SELECT unnest(json_keys(json)) AS key, row_number() OVER () AS n FROM read_ndjson_objects(${literal(readable)}))
     GROUP BY key ORDER BY min(n), key`,
  );
  source.columns = keys.map(({ key }) => key);
  const columns = source.columns.map((name) => `${literal(name)}: 'VARCHAR'`).join(', ');
  source.relation = `read_json(${literal(readable)}, format = 'newline_delimited', columns = {${columns}})`;
  if (source.columns.length === 0)
    throw new MoralscopeError('bad-file', `${source.path} holds no JSON objects.`, 'Write one object a line.');
}

async function openParquet(source: Source, database: Database): Promise<void> {
  const file = `read_parquet(${literal(source.path)})`;
  source.columns = (await database.rows<{ column_name: string }>(`DESCRIBE SELECT * FROM ${file}`)).map((c) => c.column_name);
  source.relation = `(SELECT ${source.columns.map((c) => `${identifier(c)}::VARCHAR AS ${identifier(c)}`).join(', ')} FROM ${file})`;
}

async function beginsWithByteOrderMark(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(3), 0, 3, 0);
    return bytesRead === 3 && buffer.equals(Buffer.from([0xef, 0xbb, 0xbf]));
  } finally {
    await file.close();
  }
}

/** The line on which the nth record (from 1, header not counted) begins; undefined for a format without lines. */
export async function lineOfRecord(source: Source, record: number): Promise<number | undefined> {
  if (source.format === 'parquet') return undefined;
  let n = source.format === 'jsonl' ? 0 : -1;
  for await (const { line } of records(source)) if (++n === record) return line;
  return undefined;
}

/** Turns the database's complaint about a source into one that names the line and what is wrong there. */
export async function explainedFailure(source: Source, error: unknown): Promise<unknown> {
  if (error instanceof MoralscopeError) return error;
  const fix =
    source.format === 'parquet'
      ? 'Write the file again.'
      : source.format === 'jsonl'
        ? 'Write one JSON object a line, in UTF-8.'
        : 'Every line needs as many fields as the header; a field that begins with a quote ends with one, quotes inside are doubled; UTF-8.';
  if (source.format !== 'parquet')
    for await (const { line, problem } of records(source))
      if (problem !== undefined)
        return new MoralscopeError('bad-file', `${source.path} line ${line}: ${problem}.`, fix, { cause: error });
  const complaint = (error as Error).message.split('\n', 1)[0];
  return new MoralscopeError('bad-file', `${source.path} cannot be read: ${complaint}`, fix, { cause: error });
}

interface SourceLine {
  line: number;
  problem?: string;
}

async function* records(source: Source): AsyncGenerator<SourceLine> {
  if (source.format === 'jsonl') {
    let line = 0;
    for await (const text of createInterface({
      input: createReadStream(source.path, 'utf8'),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      line++;
      const json = line === 1 ? text.replace(/^\ufeff/, '') : text;
      if (json.trim() === '') continue;
      const problem = jsonProblem(json);
      yield { line, ...(problem !== undefined && { problem }) };
    }
    return;
  }
  for await (const { line, fields, problem } of delimitedRecords(source.path, delimiter(source))) {
    const ragged =
      source.columns.length > 0 && fields.length !== source.columns.length
        ? `${fields.length} fields where the header has ${source.columns.length}, beginning "${fields[0].slice(0, 40)}"`
        : undefined;
    const found = problem ?? ragged;
    yield { line, ...(found !== undefined && { problem: found }) };
  }
}

function jsonProblem(text: string): string | undefined {
  if (text.includes('\ufffd')) return 'bytes that are not UTF-8';
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? undefined : `not a JSON object: ${text.slice(0, 40)}`;
  } catch (error) {
    return (error as Error).message;
  }
}

function delimiter(source: Source): string {
  return source.format === 'csv' ? ',' : '\t';
}
