import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ArtifactDirectory } from '../artifact/directory.js';
import { sha256File } from '../artifact/files.js';
import type { Manifest } from '../artifact/manifest.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { nearestName } from '../nearest.js';
import type { WorkOptions } from '../progress.js';
import { type AnnotationColumns, annotationColumns, checkAnnotations, wanted } from './annotations.js';
import { CORPUS_FORMAT, CORPUS_FORMAT_VERSION } from './corpus.js';
import { Database, identifier, literal } from './database.js';
import { FOUNDATIONS, POLES } from './foundation.js';
import { explainedFailure, openSource } from './source.js';
import { corpusContents } from './stats.js';
import { actionTextSql, normalisedTextSql } from './text.js';

/** Corpora that go by a name; `starter` comes with the package, `social-chem-101` is to be pulled first. */
export const CORPUS_NAMES = ['starter', 'social-chem-101'] as const;

export interface CorpusOptions extends WorkOptions {
  /** A TSV, CSV, JSONL or parquet file with the columns of Social-Chemistry-101, or `starter`. */
  from: string;
  /** The directory to make. */
  out: string;
  /** Decides which texts fall to training, validation and test; default 0. */
  seed?: number | undefined;
  /** What the corpus is called in reports; the file's name without its extension where left out. */
  name?: string | undefined;
}

/**
 * Builds a corpus directory from annotations (docs/paper.md section 1): rows with rot-bad = 0 and m = 1 that have action, foundations,
 * judgment and agreement; one row per annotation and tagged foundation; texts told apart by their normalised form and split
 * 80/10/10 by it, so that no text is in two splits. Beyond 1 GB the work spills to disk.
 *
 * The directory holds `texts.parquet` (text, action, normalised, split), `rows.parquet` (row, text, annotation, split,
 * foundation, signed and the annotation's moral vector m_care ... m_degradation), `annotations.parquet` (the source's own
 * columns, one row an annotation, in the order of their ids) and the manifest with counts. The same input and seed give
 * the same bytes. A directory that already holds this corpus is left as it is.
 * @throws MoralscopeError naming file, column, line and value of the first mistake
 */
export async function buildCorpus(options: CorpusOptions): Promise<Manifest> {
  const { path, authored } = locate(options.from);
  const name = options.name ?? basename(path, extname(path));
  const inputs = [{ name: basename(path), sha256: await hashOf(path, options.signal) }];
  const directory = await ArtifactDirectory.open(options.out, {
    format: CORPUS_FORMAT,
    formatVersion: CORPUS_FORMAT_VERSION,
    seed: options.seed ?? 0,
    options: { name, authored },
    inputs,
  });
  try {
    if (directory.finished) return directory.finished;
    const database = await Database.open({ directory: directory.path, signal: options.signal });
    try {
      const details = await build(database, directory, path, options);
      throwIfCancelled(options.signal);
      return await directory.finish({ name, authored, ...details });
    } finally {
      database.close();
      await rm(directory.file('.source.jsonl'), { force: true });
    }
  } finally {
    await directory.close();
  }
}

function locate(from: string): { path: string; authored: boolean } {
  if (from === 'starter') return { path: fileURLToPath(new URL('../../corpora/starter.tsv', import.meta.url)), authored: true };
  if (from === 'social-chem-101' && !existsSync(from))
    throw new MoralscopeError(
      'not-found',
      'social-chem-101 is not on this machine.',
      'Run `moralscope pull social-chem-101` first.',
    );
  const path = resolve(from);
  if (existsSync(path)) return { path, authored: false };
  if (from.includes('/') || from.includes('\\') || extname(from) !== '')
    throw new MoralscopeError('not-found', `${from} does not exist.`, 'Give the path of a TSV, CSV, JSONL or parquet file.');
  const near = nearestName(from, CORPUS_NAMES);
  throw new MoralscopeError(
    'not-found',
    `There is no corpus named ${from}, nor a file.${near ? ` Did you mean ${near}?` : ''}`,
    `Known names: ${CORPUS_NAMES.join(', ')}; or give the path of a TSV, CSV, JSONL or parquet file.`,
  );
}

async function hashOf(path: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    return await sha256File(path, signal);
  } catch (error) {
    throwIfCancelled(signal);
    throw new MoralscopeError(
      'not-found',
      `${path} cannot be read: ${(error as Error).message}.`,
      'Give the path of a readable file.',
      {
        cause: error,
      },
    );
  }
}

async function build(database: Database, directory: ArtifactDirectory, path: string, { seed = 0, onProgress }: CorpusOptions) {
  const report = (done: number) => onProgress?.({ task: 'Building the corpus', done, total: 4, unit: 'steps' });
  report(0);
  const source = await openSource(path, database, directory.path);
  const columns = annotationColumns(source);
  const annotations = directory.file('annotations.parquet');
  // A small dictionary limit: the long texts hardly repeat, and looking for repeats takes longer than writing them.
  const parquet = '(FORMAT parquet, COMPRESSION snappy, DICTIONARY_SIZE_LIMIT 1000)';
  try {
    await database.run(`COPY (SELECT * FROM ${source.relation} WHERE ${wanted(columns)}) TO ${literal(annotations)} ${parquet}`);
  } catch (error) {
    throw await explainedFailure(source, error);
  }
  report(1);

  await checkAnnotations(database, source, columns, annotations);
  await database.run(annotationTable(annotations, columns));
  await makeTexts(database, seed);
  report(2);
  await makeRows(database);
  await database.run(`COPY (FROM texts) TO ${literal(directory.file('texts.parquet'))} ${parquet}`);
  await database.run(`COPY (FROM rows) TO ${literal(directory.file('rows.parquet'))} ${parquet}`);
  report(3);

  const stats = await corpusContents(database);
  report(4);
  return { sha256: await contentHashOf(database), columns: source.columns, assumptions: columns.assumptions, ...stats };
}

/** Ids are the order in the source; bit f of `tags` says that foundation f is tagged. */
function annotationTable(file: string, columns: AnnotationColumns): string {
  const tagged = FOUNDATIONS.map(
    (f, i) => `${1 << i} * contains(${identifier('rot-moral-foundations')}, ${literal(f)})::INTEGER`,
  );
  return `
    CREATE TABLE annotations AS
    SELECT annotation, action, ${normalisedTextSql('action')} AS normalised, tags, signed
    FROM (
      SELECT file_row_number::INTEGER AS annotation, ${actionTextSql('action')} AS action, ${tagged.join(' + ')} AS tags,
        ${identifier('action-moral-judgment')}::DOUBLE * ${identifier(columns.agreement)}::DOUBLE / 8 + 0 AS signed
      FROM read_parquet(${literal(file)}, file_row_number = true)
    )`;
}

/** Tables keep the order of what is put in, so that their rowid serves as text id and row id. */
async function makeTexts(database: Database, seed: number): Promise<void> {
  await database.run(`
    CREATE TABLE ordered_texts AS
    SELECT arg_min(action, annotation) AS action, normalised,
      CASE md5_number_lower('${seed}/' || normalised) % 10 WHEN 8 THEN 'validation' WHEN 9 THEN 'test' ELSE 'train' END AS split
    FROM annotations GROUP BY normalised ORDER BY min(annotation)`);
  await database.run('CREATE VIEW texts AS SELECT rowid::INTEGER AS text, * FROM ordered_texts');
}

async function makeRows(database: Database): Promise<void> {
  await database.run(`
    CREATE TABLE ordered_rows AS
    SELECT text, annotation, split, foundation::UTINYINT AS foundation, signed, tags
    FROM annotations JOIN texts USING (normalised) JOIN range(${FOUNDATIONS.length}) AS f(foundation) ON ((tags >> foundation) & 1) = 1
    ORDER BY annotation, foundation`);
  const slots = POLES.map((pole, slot) => {
    const tagged = `((tags >> ${slot >> 1}) & 1)`;
    return `(${tagged} * greatest(0, ${slot % 2 === 0 ? '' : '-'}signed) + 0)::FLOAT AS m_${pole}`;
  });
  await database.run(`
    CREATE VIEW rows AS
    SELECT rowid::INTEGER AS row, text, annotation, split, [${FOUNDATIONS.map(literal).join(', ')}][foundation + 1] AS foundation,
      signed::FLOAT AS signed, ${slots.join(', ')}
    FROM ordered_rows`);
}

/** `contentHash` of the corpus, a block at a time. */
async function contentHashOf(database: Database): Promise<string> {
  const hash = createHash('sha256');
  const blocks = (record: string, table: string) =>
    database.each(
      `SELECT string_agg(${record} || chr(30), '' ORDER BY rowid) FROM ${table} GROUP BY rowid // 4096 ORDER BY rowid // 4096`,
      ([block]) => hash.update(block as string),
    );
  await blocks('action', 'ordered_texts');
  await blocks(`concat_ws(' ', text, annotation, foundation, (signed * 8)::INTEGER)`, 'ordered_rows');
  return hash.digest('hex');
}
