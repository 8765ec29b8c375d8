import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { sha256 } from '../artifact/files.js';
import type { MoralscopeError } from '../errors.js';
import { Random } from '../random.js';
import { buildCorpus } from './build.js';
import type { Corpus } from './corpus.js';
import { Database, literal } from './database.js';
import { FOUNDATIONS, POLES } from './foundation.js';
import { readCorpus } from './read.js';
import { directory, failure, file, fresh, GOOD, table } from './tables.test.support.js';
import { actionText, normalisedText } from './text.js';
import { moralVector, signedJudgment } from './vector.js';

const handWorked = fileURLToPath(new URL('../../fixtures/hand_worked.tsv', import.meta.url));
const realRows = fileURLToPath(new URL('../../../shared/data/social_chem_101/llm_cognitive_sample_286.jsonl', import.meta.url));

interface Row {
  row: number;
  text: number;
  annotation: number;
  split: string;
  foundation: string;
  signed: number;
  [slot: string]: number | string;
}

interface RealRow {
  action: string;
  'rot-moral-foundations': string;
  'action-moral-judgment': number;
  'rot-agree': number;
}

async function query<T>(sql: string): Promise<T[]> {
  const database = await Database.open({ directory });
  try {
    return await database.rows<T>(sql);
  } finally {
    database.close();
  }
}

const parquet = (dir: string, table: string) => `read_parquet(${literal(join(dir, `${table}.parquet`))})`;
const rowsOf = (dir: string) => query<Row>(`FROM ${parquet(dir, 'rows')}`);

async function build(path: string, seed = 0): Promise<{ out: string; corpus: Corpus; details: Record<string, unknown> }> {
  const out = fresh('corpus');
  const { details } = await buildCorpus({ from: path, out, seed });
  return { out, corpus: await readCorpus(out), details };
}

describe('the hand-worked table', () => {
  test('gives its moral vectors, one row a tagged foundation, in its order', async () => {
    const { out, corpus } = await build(handWorked);
    const [header, ...lines] = readFileSync(handWorked, 'utf8').trimEnd().split('\n');
    const names = header.split('\t');
    const expected = lines
      .map((line) => Object.fromEntries(line.split('\t').map((field, i) => [names[i], field])))
      .filter((row) => row.kept === '1')
      .flatMap((row, annotation) =>
        FOUNDATIONS.filter((f) => row['rot-moral-foundations'].split('|').includes(f)).map((foundation) => ({
          annotation,
          action: row.action.replace(/\.$/, ''),
          foundation,
          ...Object.fromEntries(POLES.map((pole) => [`m_${pole}`, Number(row[pole])])),
        })),
      );
    const found = (await rowsOf(out)).map(({ annotation, foundation, text, ...row }) => ({
      annotation,
      action: corpus.texts[text],
      foundation,
      ...Object.fromEntries(POLES.map((pole) => [`m_${pole}`, row[`m_${pole}`]])),
    }));
    expect(found).toEqual(expected);
    expect(found).toHaveLength(22);
  });

  test('keeps the columns of the source beside it, one row an annotation', async () => {
    const { out } = await build(handWorked);
    const kept = await query<Record<string, string>>(`FROM ${parquet(out, 'annotations')}`);
    expect(kept).toHaveLength(17);
    expect(kept[1]).toMatchObject({ action: 'kicking a dog.', 'action-moral-judgment': '-2', 'rot-bad': '0', harm: '1' });
  });
});

describe('formats', () => {
  const lines = [
    '"She said ""no, thanks""."\tcare-harm|loyalty-betrayal\t-1\t3.0\t0\t1',
    'paying  the bill\tfairness-cheating\t2\t4\t0\t1',
    'waiting, then going\tsanctity-degradation\t0\t1\t0\t1',
  ];
  const records = [
    {
      action: 'She said "no, thanks".',
      'rot-moral-foundations': 'care-harm|loyalty-betrayal',
      'action-moral-judgment': -1,
      'action-agree': 3,
    },
    { action: 'paying  the bill', 'rot-moral-foundations': 'fairness-cheating', 'action-moral-judgment': 2, 'action-agree': 4 },
    {
      action: 'waiting, then going',
      'rot-moral-foundations': 'sanctity-degradation',
      'action-moral-judgment': 0,
      'action-agree': 1,
    },
  ].map((record) => ({ ...record, 'rot-bad': 0, m: 1 }));
  const tsv = table(...lines);
  const jsonl = records.map((record) => JSON.stringify(record)).join('\n');

  test('CSV, JSONL and parquet give the corpus that TSV gives, byte order mark and CRLF make no difference', async () => {
    const csv = tsv.replace(/^(waiting, then going)/m, '"$1"').replaceAll('\t', ',');
    const asParquet = fresh('table.parquet');
    const source = file('table.jsonl', jsonl);
    const database = await Database.open({ directory });
    await database.run(`COPY (FROM read_json(${literal(source)})) TO ${literal(asParquet)} (FORMAT parquet)`);
    database.close();
    const files = [
      file('table.tsv', tsv),
      file('table.tsv', `\ufeff${tsv}`),
      file('table.tsv', tsv.replaceAll('\n', '\r\n')),
      file('table.TSV', tsv.trimEnd()),
      file('table.csv', csv),
      file('table.csv', `\ufeff${csv.replaceAll('\n', '\r\n')}`),
      source,
      file('table.ndjson', `\ufeff${jsonl.replaceAll('\n', '\r\n\r\n')}\r\n`),
      asParquet,
    ];
    const corpora = await Promise.all(files.map(async (path) => (await build(path)).corpus));
    expect(corpora[0].texts).toEqual(['She said "no, thanks"', 'paying  the bill', 'waiting, then going']);
    expect([...corpora[0].rows.signed]).toEqual([-0.375, -0.375, 1, 0]);
    expect([...corpora[0].rows.foundation]).toEqual([0, 2, 1, 4]);
    for (const corpus of corpora) expect(corpus).toEqual(corpora[0]);
  });

  test('what the source lacks is assumed, and said', async () => {
    const { details, corpus } = await build(
      file('t.tsv', 'action\trot-moral-foundations\taction-moral-judgment\trot-agree\nhelping\tcare-harm\t2\t2\n'),
    );
    expect([...corpus.rows.signed]).toEqual([0.5]);
    expect(details.assumptions).toEqual([
      'no column action-agree: rot-agree is used in its place',
      'no column m: taken as 1 in every row',
      'no column rot-bad: taken as 0 in every row',
    ]);
  });
});

test('a path with quotes and wildcards is just a path', async () => {
  const { corpus } = await build(file("it's [a] *?{b,c}.tsv", table(GOOD)));
  expect(corpus).toMatchObject({ name: "it's [a] *?{b,c}", texts: ['helping out'] });
});

describe('the filter', () => {
  test('leaves out bad rows, other m, and empty fields', async () => {
    const { corpus } = await build(
      file(
        't.tsv',
        table(
          GOOD,
          'bad\tcare-harm\t1\t3\t1\t1',
          'many\tcare-harm\t1\t3\t0\t50',
          '\tcare-harm\t1\t3\t0\t1',
          ' . \tcare-harm\t1\t3\t0\t1',
          'no tag\t\t1\t3\t0\t1',
          'no judgment\tcare-harm\t\t3\t0\t1',
          'no agreement\tcare-harm\t1\t""\t0\t1',
          'no m\tcare-harm\t1\t3\t0\t',
          'no rot-bad\tcare-harm\t1\t3\t\t1',
          'a tag twice\tcare-harm|care-harm\t1.0\t4\t0.0\t1.0',
        ),
      ),
    );
    expect(corpus.texts).toEqual(['helping out', 'a tag twice']);
    expect(corpus.rows.length).toBe(2);
  });
});

describe('texts and splits', () => {
  const random = new Random(3);
  const word = () => Array.from({ length: 3 + random.below(5) }, () => 'abcdefghij'[random.below(10)]).join('');
  const actions = Array.from({ length: 2000 }, () => `${word()} ${word()} ${word()}`);
  const variants = [
    (a: string) => a,
    (a: string) => `${a}.`,
    (a: string) => a.toUpperCase(),
    (a: string) => `  ${a.replace(' ', '  ')}`,
  ];
  const lines = Array.from({ length: 6000 }, () => {
    const action = variants[random.below(4)](actions[random.below(actions.length)]);
    const tags = FOUNDATIONS.filter(() => random.below(3) === 0);
    return [action, (tags.length > 0 ? tags : [FOUNDATIONS[0]]).join('|'), random.below(5) - 2, random.below(5), 0, 1].join('\t');
  });
  const path = file('t.tsv', table(...lines));

  test('a text is in one split, whatever its case, spaces and full stop; the splits are 80/10/10', async () => {
    const { out, corpus } = await build(path);
    const splits = new Map<string, Set<string>>();
    const rows = await rowsOf(out);
    for (const { text, split } of rows) {
      const key = normalisedText(actionText(corpus.texts[text]));
      splits.set(key, (splits.get(key) ?? new Set()).add(split));
    }
    expect([...splits.values()].every((s) => s.size === 1)).toBe(true);
    expect(splits.size).toBe(corpus.texts.length);
    expect(new Set(corpus.texts.map(normalisedText)).size).toBe(corpus.texts.length);
    const share = (split: string) => [...splits.values()].filter((s) => s.has(split)).length / splits.size;
    expect(share('train')).toBeGreaterThan(0.76);
    expect(share('train')).toBeLessThan(0.84);
    expect(share('validation')).toBeGreaterThan(0.07);
    expect(share('test')).toBeGreaterThan(0.07);
    expect(rows.map((row) => row.row)).toEqual(rows.map((_, i) => i));
  });

  test('vectors, order and ids agree with a plain calculation', async () => {
    const { out, corpus } = await build(path);
    const ids = new Map<string, number>();
    const texts: string[] = [];
    const expected = lines.flatMap((line, annotation) => {
      const [action, tags, judgment, agreement] = line.split('\t');
      const key = normalisedText(actionText(action));
      if (!ids.has(key)) {
        ids.set(key, ids.size);
        texts.push(actionText(action));
      }
      const tagged = FOUNDATIONS.flatMap((f, i) => (tags.split('|').includes(f) ? [i] : []));
      const signed = signedJudgment(Number(judgment), Number(agreement));
      const vector = moralVector(signed, tagged);
      return tagged.map((f) => [ids.get(key)!, annotation, FOUNDATIONS[f], signed, ...vector]);
    });
    const found = (await rowsOf(out)).map((row) => [
      row.text,
      row.annotation,
      row.foundation,
      row.signed,
      ...POLES.map((pole) => row[`m_${pole}`]),
    ]);
    expect(corpus.texts).toEqual(texts);
    expect(found).toEqual(expected);
    expect(corpus.rows.length).toBe(expected.length);
    expect([...corpus.rows.text]).toEqual(expected.map((row) => row[0]));
    expect([...corpus.rows.annotation]).toEqual(expected.map((row) => row[1]));
    expect([...corpus.rows.signed]).toEqual(expected.map((row) => row[3]));
  });

  test('the same input gives the same bytes; another seed moves the splits and nothing else', async () => {
    const bytes = (dir: string) =>
      ['annotations', 'texts', 'rows'].map((name) => sha256(readFileSync(join(dir, `${name}.parquet`))));
    const [first, second, other] = [await build(path), await build(path), await build(path, 1)];
    expect(bytes(second.out)).toEqual(bytes(first.out));
    expect(second.corpus.sha256).toBe(first.corpus.sha256);
    expect(other.corpus).toEqual(first.corpus);
    expect(bytes(other.out)[0]).toBe(bytes(first.out)[0]);
    expect(bytes(other.out)[1]).not.toBe(bytes(first.out)[1]);
  });
});

describe.skipIf(!existsSync(realRows))('the 286 real rows', () => {
  test('have the moral vectors of a plain calculation', async () => {
    const { out, corpus, details } = await build(realRows);
    const records = readFileSync(realRows, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as RealRow);
    const expected = records.flatMap((record, annotation) => {
      const strength = (record['action-moral-judgment'] / 2) * (record['rot-agree'] / 4);
      return FOUNDATIONS.filter((f) => record['rot-moral-foundations'].includes(f)).map((foundation) => {
        const slots = Object.fromEntries(POLES.map((pole) => [`m_${pole}`, 0]));
        for (const tag of record['rot-moral-foundations'].split('|')) {
          const [virtue, vice] = tag.split('-');
          if (strength > 0) slots[`m_${virtue}`] = strength;
          if (strength < 0) slots[`m_${vice}`] = -strength;
        }
        return { annotation, foundation, action: record.action.trim().replace(/\.$/, '').toLowerCase(), ...slots };
      });
    });
    const found = (await rowsOf(out)).map(({ annotation, foundation, text, ...row }) => ({
      annotation,
      foundation,
      action: corpus.texts[text].toLowerCase(),
      ...Object.fromEntries(POLES.map((pole) => [`m_${pole}`, row[`m_${pole}`]])),
    }));
    expect(found).toEqual(expected);
    expect(details).toMatchObject({ texts: 285, annotations: 286, rows: 326, authored: false });
    expect(details.assumptions).toEqual([
      'no column action-agree: rot-agree is used in its place',
      'no column m: taken as 1 in every row',
    ]);
  });
});

describe('the starter corpus', () => {
  test('goes by its name, and is authored', async () => {
    const { corpus } = await build('starter');
    expect(corpus).toMatchObject({ name: 'starter', authored: true });
    expect(corpus.texts.length).toBeGreaterThan(1000);
  });
});

describe('the directory', () => {
  afterEach(() => expect(readdirSync(directory).filter((name) => name.startsWith('.'))).toEqual([]));
  const path = file('t.tsv', table(GOOD));

  test('a finished one is left as it is, and refused to other options', async () => {
    const out = fresh('corpus');
    const manifest = await buildCorpus({ from: path, out, seed: 0 });
    expect(readdirSync(out).sort()).toEqual(['annotations.parquet', 'manifest.json', 'rows.parquet', 'texts.parquet']);
    expect(await buildCorpus({ from: path, out, seed: 0 })).toEqual(manifest);
    expect((await failure(buildCorpus({ from: path, out, seed: 1 }))).message).toMatch(/seed was 0, now 1/);
    expect((await failure(buildCorpus({ from: path, out, seed: 0, name: 'other' }))).message).toMatch(
      /name was "t", now "other"/,
    );
  });

  test('a stopped build leaves no manifest, and the same command takes it up', async () => {
    for (const step of [0, 1, 2, 3]) {
      const out = fresh('corpus');
      const stop = new AbortController();
      const onProgress = ({ done }: { done: number }) => done === step && stop.abort();
      expect((await failure(buildCorpus({ from: path, out, seed: 0, onProgress, signal: stop.signal }))).code).toBe('cancelled');
      expect(existsSync(join(out, 'manifest.json'))).toBe(false);
      expect((await failure(readCorpus(out))).code).toBe('not-found');
      await buildCorpus({ from: path, out, seed: 0 });
      expect((await readCorpus(out)).texts).toEqual(['helping out']);
    }
    const error = await failure(buildCorpus({ from: path, out: fresh('corpus'), seed: 0, signal: AbortSignal.abort() }));
    expect(error.code).toBe('cancelled');
  });

  test('two builds in one directory: the second is refused', async () => {
    const out = fresh('corpus');
    let second: Promise<MoralscopeError> | undefined;
    const onProgress = () => {
      second ??= failure(buildCorpus({ from: path, out, seed: 0 }));
    };
    await buildCorpus({ from: path, out, seed: 0, onProgress });
    expect(await second).toMatchObject({ code: 'locked' });
    expect((await readCorpus(out)).rows.length).toBe(1);
  });

  test.skipIf(!existsSync('/dev/full')).each(['annotations', 'texts', 'rows'])('a full disk while writing %s', async (name) => {
    const out = fresh('corpus');
    const onProgress = ({ done }: { done: number }) => {
      if (done === 0) symlinkSync('/dev/full', join(out, `${name}.parquet`));
    };
    const error = await failure(buildCorpus({ from: path, out, seed: 0, onProgress }));
    expect(error.code).toBe('disk');
    expect(error.message).toContain(out);
    expect(existsSync(join(out, 'manifest.json'))).toBe(false);
    rmSync(join(out, `${name}.parquet`), { force: true });
    await buildCorpus({ from: path, out, seed: 0 });
    expect((await readCorpus(out)).texts).toEqual(['helping out']);
  });

  test('progress ends with all done', async () => {
    const steps: number[] = [];
    await buildCorpus({ from: path, out: fresh('corpus'), seed: 0, onProgress: ({ done }) => steps.push(done) });
    expect(steps).toEqual([0, 1, 2, 3, 4]);
  });

  test('a damaged one is not read', async () => {
    for (const name of ['rows', 'texts']) {
      const { out } = await build(handWorked);
      const path = join(out, `${name}.parquet`);
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.subarray(0, bytes.length - 20));
      expect((await failure(readCorpus(out))).code).toBe('bad-file');
      rmSync(path);
      expect((await failure(readCorpus(out))).code).toBe('bad-file');
    }
    const [a, b] = [await build(handWorked), await build(file('t.tsv', table(GOOD)))];
    writeFileSync(join(a.out, 'rows.parquet'), readFileSync(join(b.out, 'rows.parquet')));
    expect((await failure(readCorpus(a.out))).message).toMatch(/content that its manifest does not describe/);
    expect((await failure(readCorpus(fresh('none')))).code).toBe('not-found');
  });
});
