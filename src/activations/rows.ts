import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '../artifact/files.js';
import { Database, literal } from '../moral/database.js';

/** Distinct texts and which of them every text of the input is. */
export interface DistinctTexts {
  texts: string[];
  /** Row of every input text. */
  rowOf: Int32Array;
}

/** Each text once, in the order of first appearance. */
export function distinct(input: readonly string[]): DistinctTexts {
  const rows = new Map<string, number>();
  const rowOf = Int32Array.from(input, (text) => {
    const row = rows.get(text) ?? rows.size;
    rows.set(text, row);
    return row;
  });
  return { texts: [...rows.keys()], rowOf };
}

/** Writes `rows.parquet`: for every text of the input its `text_id` (position there), the `row` that holds it, and the `text`. */
export async function writeRows(directory: string, { texts, rowOf }: DistinctTexts): Promise<void> {
  const lines = join(directory, '.rows.jsonl');
  const temporary = join(directory, '.rows.parquet');
  const json = Array.from(rowOf, (row, text_id) => JSON.stringify({ text_id, row, text: texts[row] }));
  await writeFileAtomic(lines, json.join('\n'));
  const database = await Database.open({ directory });
  try {
    const columns = `columns = {text_id: 'BIGINT', row: 'BIGINT', text: 'VARCHAR'}`;
    await database.run(
      `COPY (SELECT * FROM read_json(${literal(lines)}, format = 'newline_delimited', ${columns}) ORDER BY text_id)
       TO ${literal(temporary)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    await rename(temporary, join(directory, 'rows.parquet'));
  } finally {
    database.close();
    await rm(lines, { force: true });
    await rm(temporary, { force: true });
  }
}

/** The texts of the rows, in row order. */
export async function readRows(directory: string): Promise<string[]> {
  const database = await Database.open({ directory });
  try {
    const path = literal(join(directory, 'rows.parquet'));
    const texts: string[] = [];
    await database.each(`SELECT row::INTEGER, text FROM ${path}`, ([row, text]) => {
      texts[row as number] = text as string;
    });
    return texts;
  } finally {
    database.close();
  }
}
