import { resolve } from 'node:path';
import { readManifest } from '../artifact/directory.js';
import { MoralscopeError } from '../errors.js';
import { addToBucket, emptyBuckets, type PaperBuckets, sortedLevels } from './buckets.js';
import { CORPUS_FORMAT, CORPUS_SPLITS, type CorpusSplit } from './corpus.js';
import { Database, literal } from './database.js';
import { FOUNDATIONS, type Foundation, POLES } from './foundation.js';
import { normalisedTextSql } from './text.js';

/** What a corpus holds, as its manifest tells. Counts of rows unless the name says otherwise. */
export interface CorpusContents {
  texts: number;
  annotations: number;
  rows: number;
  splits: Record<CorpusSplit, { texts: number; rows: number }>;
  /** Foundation -> virtue, vice or neutral -> level -> rows. */
  cells: PaperBuckets;
  /** Share of annotations tagged with more than one foundation. */
  multiFoundationShare: number;
  labelNoise: LabelNoise;
}

/** How far several annotations of the same text disagree. Shares are null where no text was judged twice. */
export interface LabelNoise {
  /** Texts with two annotations or more, and the annotations they have. */
  repeatedTexts: number;
  repeatedAnnotations: number;
  /** Share of repeated texts whose signed judgments are all the same. */
  identicalShare: number | null;
  /** Share of repeated texts that are a virtue to one annotator and a vice to another. */
  opposedShare: number | null;
  /** Standard deviation of the signed judgment within repeated texts, pooled with n - 1 degrees of freedom a text. */
  withinSd: number | null;
  /** Share of the variance of the repeated texts' judgments that lies within texts: 0 all agree, 1 the text says nothing. */
  noiseShare: number | null;
}

export interface CorpusStats extends CorpusContents {
  name: string;
  authored: boolean;
  sha256: string;
  /** What was assumed for columns the source lacks. */
  assumptions: string[];
  /** Texts that stand in more than one split by their normalised form, and rows whose split is not their text's: both 0 in a sound corpus. */
  leaks: { texts: number; rows: number };
  /** Lengths in words of the distinct texts of each pole, and of those judged neutral. */
  words: { pole: string; texts: number; mean: number; q25: number; median: number; q75: number; max: number }[];
}

/**
 * Counts what a corpus directory holds.
 * @throws MoralscopeError `not-found` or `bad-file`
 */
export async function corpusStats(dir: string): Promise<CorpusStats> {
  const manifest = await readManifest(dir, CORPUS_FORMAT);
  const { name, authored, sha256, assumptions } = manifest.details as unknown as CorpusStats;
  const directory = resolve(dir);
  const database = await Database.open({ directory });
  try {
    for (const table of ['texts', 'rows'])
      await database.run(`CREATE VIEW ${table} AS FROM read_parquet(${literal(`${directory}/${table}.parquet`)})`);
    return {
      name,
      authored,
      sha256,
      assumptions,
      ...(await corpusContents(database)),
      leaks: await leaks(database),
      words: await words(database),
    };
  } catch (error) {
    if (error instanceof MoralscopeError) throw error;
    throw new MoralscopeError(
      'bad-file',
      `${dir} is damaged: ${(error as Error).message.split('\n', 1)[0]}`,
      'Remove it and build the corpus again.',
      { cause: error },
    );
  } finally {
    database.close();
  }
}

/** Counts the tables or views `texts` and `rows` of a database. */
export async function corpusContents(database: Database): Promise<CorpusContents> {
  const [counts] = await database.rows<{ texts: number; annotations: number; rows: number }>(
    `SELECT (SELECT count(*) FROM texts)::INTEGER AS texts, count(DISTINCT annotation)::INTEGER AS annotations,
       count(*)::INTEGER AS rows FROM rows`,
  );
  return {
    ...counts,
    splits: await splits(database),
    cells: await cells(database),
    multiFoundationShare: await multiFoundationShare(database),
    labelNoise: await labelNoise(database),
  };
}

async function splits(database: Database): Promise<CorpusContents['splits']> {
  const found = await database.rows<{ split: CorpusSplit; texts: number; rows: number }>(
    `SELECT split, count(DISTINCT text)::INTEGER AS texts, count(*)::INTEGER AS rows FROM rows GROUP BY split`,
  );
  const of = (split: CorpusSplit) => {
    const { texts = 0, rows = 0 } = found.find((f) => f.split === split) ?? {};
    return { texts, rows };
  };
  return Object.fromEntries(CORPUS_SPLITS.map((split) => [split, of(split)])) as CorpusContents['splits'];
}

async function leaks(database: Database): Promise<CorpusStats['leaks']> {
  const [found] = await database.rows<{ texts: number; rows: number }>(
    `SELECT
       (SELECT count(*) FROM (SELECT 1 FROM texts GROUP BY ${normalisedTextSql('action')} HAVING count(DISTINCT split) > 1))::INTEGER AS texts,
       (SELECT count(*) FROM rows JOIN texts USING (text) WHERE rows.split <> texts.split)::INTEGER AS rows`,
  );
  return found;
}

async function cells(database: Database): Promise<PaperBuckets> {
  const buckets = emptyBuckets();
  const found = await database.rows<{ foundation: Foundation; signed: number; n: number }>(
    `SELECT foundation, signed::DOUBLE AS signed, count(*)::INTEGER AS n FROM rows GROUP BY ALL`,
  );
  for (const { foundation, signed, n } of found) addToBucket(buckets, foundation, signed, n);
  return sortedLevels(buckets);
}

async function multiFoundationShare(database: Database): Promise<number> {
  const [{ share }] = await database.rows<{ share: number }>(
    `SELECT avg((n > 1)::INTEGER) AS share FROM (SELECT count(*) AS n FROM rows GROUP BY annotation)`,
  );
  return share;
}

async function words(database: Database): Promise<CorpusStats['words']> {
  const virtues = POLES.filter((_, slot) => slot % 2 === 0);
  const vices = POLES.filter((_, slot) => slot % 2 === 1);
  const list = (names: readonly string[]) => `[${names.map(literal).join(', ')}]`;
  const found = await database.rows<CorpusStats['words'][number]>(
    `SELECT pole, count(*)::INTEGER AS texts, avg(n) AS mean, quantile_cont(n, .25) AS q25, quantile_cont(n, .5) AS median,
       quantile_cont(n, .75) AS q75, max(n)::INTEGER AS max
     FROM (
       SELECT DISTINCT text, len(string_split(normalised, ' ')) AS n, CASE
         WHEN signed > 0 THEN ${list(virtues)}[list_position(${list(FOUNDATIONS)}, foundation)]
         WHEN signed < 0 THEN ${list(vices)}[list_position(${list(FOUNDATIONS)}, foundation)]
         ELSE 'neutral' END AS pole
       FROM rows JOIN texts USING (text)
     )
     GROUP BY pole`,
  );
  return [...POLES, 'neutral'].flatMap((pole) => found.filter((f) => f.pole === pole));
}

async function labelNoise(database: Database): Promise<LabelNoise> {
  const [found] = await database.rows<LabelNoise>(
    `WITH judged AS (SELECT annotation, any_value(text) AS text, any_value(signed)::DOUBLE AS signed FROM rows GROUP BY annotation),
       repeated AS (
         SELECT text, count(*) AS n, avg(signed) AS mean, count(DISTINCT signed) = 1 AS identical,
           min(signed) < 0 AND max(signed) > 0 AS opposed, var_samp(signed) * (count(*) - 1) AS squares
         FROM judged GROUP BY text HAVING count(*) > 1),
       total AS (SELECT var_pop(signed) * count(*) AS squares FROM judged JOIN repeated USING (text))
     SELECT count(*)::INTEGER AS "repeatedTexts", coalesce(sum(n), 0)::INTEGER AS "repeatedAnnotations",
       avg(identical::INTEGER) AS "identicalShare", avg(opposed::INTEGER) AS "opposedShare",
       sqrt(sum(squares) / sum(n - 1)) AS "withinSd",
       sum(squares) / nullif((SELECT squares FROM total), 0) AS "noiseShare"
     FROM repeated`,
  );
  return found;
}
