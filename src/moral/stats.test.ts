import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildCorpus } from './build.js';
import { Database, literal } from './database.js';
import { formatCorpusStats } from './format.js';
import { corpusStats } from './stats.js';

const directory = mkdtempSync(join(tmpdir(), 'moralscope-'));
afterAll(() => rmSync(directory, { recursive: true }));

const LINES = [
  'action\trot-moral-foundations\taction-moral-judgment\taction-agree\trot-bad\tm',
  'stealing bread\tfairness-cheating\t-2\t4\t0\t1', // -1
  'Stealing bread.\tfairness-cheating|authority-subversion\t1\t4\t0\t1', // .5
  'feeding the cat\tcare-harm\t1\t2\t0\t1', // .25
  'feeding the  cat\tcare-harm\t2\t1\t0\t1', // .25
  'feeding the cat\tloyalty-betrayal\t1\t2\t0\t1', // .25
  'sitting on the old bench\tsanctity-degradation\t0\t4\t0\t1', // 0
];

async function corpus(name: string, lines = LINES): Promise<string> {
  const from = join(directory, `${name}.tsv`);
  writeFileSync(from, lines.join('\n'));
  const out = join(directory, name);
  await buildCorpus({ from, out, seed: 0 });
  return out;
}

describe('corpusStats', () => {
  test('counts a small table as by hand', async () => {
    const stats = await corpusStats(await corpus('small'));
    expect(stats).toMatchObject({
      name: 'small',
      authored: false,
      texts: 3,
      annotations: 6,
      rows: 7,
      leaks: { texts: 0, rows: 0 },
    });
    expect(stats.cells['fairness-cheating']).toEqual({ virtue: { '0.5': 1 }, vice: { '1.0': 1 }, neutral: {} });
    expect(stats.cells['care-harm']).toEqual({ virtue: { '0.25': 2 }, vice: {}, neutral: {} });
    expect(stats.cells['sanctity-degradation']).toEqual({ virtue: {}, vice: {}, neutral: { '0.0': 1 } });
    expect(stats.multiFoundationShare).toBeCloseTo(1 / 6, 12);
    const words = Object.fromEntries(stats.words.map((w) => [w.pole, w]));
    expect(words.care).toEqual({ pole: 'care', texts: 1, mean: 3, q25: 3, median: 3, q75: 3, max: 3 });
    expect(words.neutral).toMatchObject({ texts: 1, mean: 5 });
    expect(words.harm).toBeUndefined();
    const total = Object.values(stats.splits).reduce((a, s) => ({ texts: a.texts + s.texts, rows: a.rows + s.rows }));
    expect(total).toEqual({ texts: 3, rows: 7 });
    // Two texts judged more than once: -1, .5 (mean -.25, squares 1.125) and .25 three times (squares 0).
    // All five: mean .05, squares about it 1 + .25 + 3 * .0625 - 5 * .0025 = 1.425.
    expect(stats.labelNoise).toMatchObject({ repeatedTexts: 2, repeatedAnnotations: 5, identicalShare: 0.5, opposedShare: 0.5 });
    expect(stats.labelNoise.withinSd).toBeCloseTo(Math.sqrt(1.125 / 3), 12);
    expect(stats.labelNoise.noiseShare).toBeCloseTo(1.125 / 1.425, 12);
  });

  test('nothing judged twice', async () => {
    const stats = await corpusStats(await corpus('once', LINES.slice(0, 2)));
    expect(stats.labelNoise).toEqual({
      repeatedTexts: 0,
      repeatedAnnotations: 0,
      identicalShare: null,
      opposedShare: null,
      withinSd: null,
      noiseShare: null,
    });
    expect(formatCorpusStats(stats)).toMatch(/label noise cannot be seen/);
  });

  test('are in the manifest too', async () => {
    const out = await corpus('manifest');
    const { details } = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as { details: object };
    const { leaks: _, words: __, ...contents } = await corpusStats(out);
    expect(details).toMatchObject({ ...contents });
  });

  test('finds a leak', async () => {
    const out = await corpus('leaky');
    const rows = join(out, 'rows.parquet');
    const texts = join(out, 'texts.parquet');
    const database = await Database.open({ directory });
    await database.run(`CREATE TABLE t AS SELECT * REPLACE ('Stealing  bread' AS action, 'elsewhere' AS split)
      FROM ${literal(texts)} WHERE text = 0 UNION ALL FROM ${literal(texts)}`);
    await database.run(
      `CREATE TABLE r AS SELECT * REPLACE (CASE row WHEN 2 THEN 'elsewhere' ELSE split END AS split) FROM ${literal(rows)}`,
    );
    await database.run(`COPY t TO ${literal(texts)} (FORMAT parquet)`);
    await database.run(`COPY (SELECT * FROM r) TO ${literal(rows)} (FORMAT parquet)`);
    database.close();
    const stats = await corpusStats(out);
    expect(stats.leaks.texts).toBe(1);
    expect(stats.leaks.rows).toBeGreaterThan(0);
    expect(formatCorpusStats(stats)).toMatch(/LEAK: 1 texts are in two splits/);
  });

  test('a damaged directory is refused', async () => {
    const out = await corpus('damaged');
    writeFileSync(join(out, 'rows.parquet'), 'nothing');
    await expect(corpusStats(out)).rejects.toMatchObject({ name: 'MoralscopeError', code: 'bad-file' });
    await expect(corpusStats(join(directory, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  });
});

test('formatCorpusStats shows every pole, level and split in columns', async () => {
  const text = formatCorpusStats(await corpusStats(await corpus('shown')));
  expect(text).toMatch(/^shown {2}sha256 [0-9a-f]{12}\n3 texts, 6 annotations, 7 rows/);
  expect(text).toMatch(/^cheating +0 +0 +0 +0 +0 +1 +1$/m);
  expect(text).toMatch(/^care +0 +2 +0 +0 +0 +0 +2$/m);
  expect(text).toMatch(/^neutral, sanctity-degradation +1$/m);
  expect(text).toMatch(/16\.7% of the annotations have more than one foundation/);
  expect(text).toMatch(/2 texts were judged more than once \(5 annotations\): 50\.0% always alike, 50\.0% both virtue and vice/);
  expect(text).toMatch(/No text is in two splits/);
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(130);
});
