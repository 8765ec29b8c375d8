import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import { type DelimitedRecord, delimitedRecords } from './delimited.js';

const directory = mkdtempSync(join(tmpdir(), 'moralscope-'));
afterAll(() => rmSync(directory, { recursive: true }));

async function read(content: string | Buffer, delimiter = '\t'): Promise<DelimitedRecord[]> {
  const path = join(directory, 'table');
  writeFileSync(path, content);
  const records: DelimitedRecord[] = [];
  for await (const record of delimitedRecords(path, delimiter)) records.push(record);
  return records;
}

describe('delimitedRecords', () => {
  test('quotes, doubled quotes, delimiters and line breaks within them, empty lines', async () => {
    expect(await read('a\tb\n"x\ty"\t"he ""said"" so"\n\n"two\nlines"\tun"quoted"\nlast\t')).toEqual([
      { line: 1, fields: ['a', 'b'] },
      { line: 2, fields: ['x\ty', 'he "said" so'] },
      { line: 4, fields: ['two\nlines', 'un"quoted"'] },
      { line: 6, fields: ['last', ''] },
    ]);
  });

  test('CRLF and a byte order mark', async () => {
    expect(await read('\ufeffa,b\r\n1,"2"\r\n', ',')).toEqual([
      { line: 1, fields: ['a', 'b'] },
      { line: 2, fields: ['1', '2'] },
    ]);
  });

  test.each([
    ['a\n"x" y\n', 2, /stray quote: text follows the closing quote of "x"/],
    ['a\nb\n"x\ny\n', 3, /"x" is never closed/],
    ['a\r\nb\n', 2, /ends in LF where those before it end in CRLF/],
    ['a\nb\r\n', 2, /ends in CRLF where/],
    ['a\nb\rc\n', 2, /carriage return/],
    [Buffer.from([0x61, 0x0a, 0xff, 0x0a]), 2, /not UTF-8/],
  ])('what is wrong in %j', async (content, line, problem) => {
    const wrong = (await read(content)).filter((record) => record.problem !== undefined);
    expect(wrong[0]?.line).toBe(line);
    expect(wrong[0]?.problem).toMatch(problem);
  });

  test('reads back whatever is quoted by the rule', async () => {
    const random = new Random(1);
    const characters = ['a', 'b', ' ', '\t', ',', '"', '\n', 'é', '你', '😀'];
    for (let trial = 0; trial < 50; trial++) {
      const rows = Array.from({ length: 5 }, () =>
        Array.from({ length: 3 }, () => Array.from({ length: random.below(6) }, () => characters[random.below(10)]).join('')),
      );
      const content = rows.map((fields) => fields.map((f) => `"${f.replaceAll('"', '""')}"`).join(',')).join('\r\n');
      expect((await read(content, ',')).map((record) => record.fields)).toEqual(rows);
    }
  });
});
