import { createReadStream } from 'node:fs';

/** One record of a TSV or CSV file with the line it begins on, and what is wrong with it, if anything. */
export interface DelimitedRecord {
  /** First line of the record, from 1. */
  line: number;
  fields: string[];
  problem?: string;
}

/**
 * Reads a TSV or CSV file record by record: fields may be enclosed in double quotes, a quote inside is doubled (RFC 4180), lines
 * end in LF or CRLF but not both, empty lines are passed over, a byte order mark too. A quote inside an unquoted field is a plain
 * character. The reading proper is the database's; this finds the header, and the line of a mistake.
 */
export async function* delimitedRecords(path: string, delimiter: string): AsyncGenerator<DelimitedRecord> {
  let state: 'start' | 'plain' | 'quoted' | 'closed' = 'start';
  let fields: string[] = [];
  let field = '';
  let problem: string | undefined;
  let line = 1;
  let begin = 1;
  let afterReturn = false;
  let lineEnd: 'LF' | 'CRLF' | undefined;

  const take = (): DelimitedRecord | undefined => {
    fields.push(field);
    const record: DelimitedRecord = { line: begin, fields, ...(problem !== undefined && { problem }) };
    const empty = fields.length === 1 && field === '' && state === 'start';
    fields = [];
    field = '';
    problem = undefined;
    state = 'start';
    return empty ? undefined : record;
  };

  let first = true;
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 20 }) as AsyncIterable<string>) {
    const text = first && chunk.startsWith('\ufeff') ? chunk.slice(1) : chunk;
    first = false;
    for (const c of text) {
      if (c === '\ufffd') problem ??= 'bytes that are not UTF-8';
      if (state === 'quoted') {
        if (c === '"') state = 'closed';
        else field += c;
        if (c === '\n') line++;
        continue;
      }
      if (afterReturn && c !== '\n') problem ??= 'a carriage return inside a line';
      if (c === '\n') {
        const end = afterReturn ? 'CRLF' : 'LF';
        lineEnd ??= end;
        if (end !== lineEnd) problem ??= `a line that ends in ${end} where those before it end in ${lineEnd}`;
        afterReturn = false;
        line++;
        const record = take();
        begin = line;
        if (record) yield record;
      } else if (c === '\r') {
        afterReturn = true;
      } else {
        afterReturn = false;
        if (c === delimiter) {
          fields.push(field);
          field = '';
          state = 'start';
        } else if (c === '"' && state === 'start') {
          state = 'quoted';
        } else if (c === '"' && state === 'closed') {
          field += c;
          state = 'quoted';
        } else {
          if (state === 'closed') problem ??= `a stray quote: text follows the closing quote of "${shown(field)}"`;
          else state = 'plain';
          field += c;
        }
      }
    }
  }
  if (state === 'quoted') problem = `a stray quote: the one that opens "${shown(field)}" is never closed`;
  if (fields.length > 0 || state !== 'start') {
    const record = take();
    if (record) yield record;
  }
}

function shown(field: string): string {
  const line = field.split('\n', 1)[0];
  return line.length > 40 ? `${line.slice(0, 40)}...` : line;
}
