import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { capture } from './activations/capture.js';
import { readManifest } from './artifact/directory.js';
import { Diagnosis } from './diagnosis/schema.js';
import type { MoralscopeError } from './errors.js';
import { readCorpus } from './moral/read.js';
import { formatStudy, type StudyOptions, study } from './study.js';

/** @file The whole study on a random Llama of two blocks and every twelfth action of the starter corpus. */

const MODEL = fileURLToPath(new URL('../fixtures/tiny-llama', import.meta.url));
let root: string;
let table: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'study-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  const [header, ...lines] = (await readFile(new URL('../corpora/starter.tsv', import.meta.url), 'utf8')).trimEnd().split('\n');
  table = join(root, 'actions.tsv');
  await writeFile(table, `${[header, ...lines.filter((_, i) => i % 12 === 0)].join('\n')}\n`);
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

const options = (out: string, more: Partial<StudyOptions> = {}): StudyOptions => ({
  model: MODEL,
  corpus: table,
  out: join(root, out),
  pool: ['last'],
  permutations: 200,
  bootstraps: 100,
  ...more,
});

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable('it did not fail'),
    (error) => error as MoralscopeError,
  );

/** Every file below a directory with its bytes' hash and the time it was written. */
async function contents(dir: string): Promise<Record<string, string>> {
  const files = (await readdir(dir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const entries = files.map(async ({ parentPath, name }) => {
    const path = join(parentPath, name);
    const hash = createHash('sha256').update(await readFile(path));
    return [path.slice(dir.length), `${hash.digest('hex')} ${(await stat(path)).mtimeMs}`];
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** A diagnosis without what tells when and where it was made. */
const essence = ({ manifest: _, ...diagnosis }: Diagnosis) => JSON.stringify(diagnosis);

let whole: Diagnosis;

test('writes manifest, diagnosis and report; the same call again returns them and changes no byte', async () => {
  const tasks = new Set<string>();
  const { diagnosis, directory } = await study(options('whole', { onProgress: ({ task }) => void tasks.add(task) }));
  whole = diagnosis;
  expect(directory).toBe(join(root, 'whole'));
  const json = await readFile(join(directory, 'diagnosis.json'), 'utf8');
  expect(Diagnosis.parse(JSON.parse(json))).toEqual(JSON.parse(JSON.stringify(diagnosis)));
  expect(diagnosis.poolings.last!.layers.map(({ layer }) => layer)).toEqual([0, 1]);
  expect(diagnosis.n.texts).toBeGreaterThan(100);
  const html = await readFile(join(directory, 'report.html'), 'utf8');
  expect(html).toMatch(/^<!doctype html>/i);
  expect(html).toContain('actions');
  const manifest = await readManifest(directory, 'moralscope.diagnosis');
  expect(manifest.details).toMatchObject({ summary: diagnosis.summary });
  expect(manifest.details.verdicts).toHaveLength(5);
  expect((await readdir(directory)).sort()).toEqual(['activations', 'corpus', 'diagnosis.json', 'manifest.json', 'report.html']);
  expect(tasks).toContain('diagnose');

  const before = await contents(directory);
  const again = await study(options('whole', { onProgress: ({ task }) => expect(task).not.toBe('diagnose') }));
  expect(essence(again.diagnosis)).toBe(essence(diagnosis));
  expect(await contents(directory)).toEqual(before);

  const text = formatStudy(again);
  for (const { text: verdict } of diagnosis.verdicts) expect(text).toContain(verdict);
  expect(text).toContain(diagnosis.summary);
  expect(text).toContain(join(directory, 'report.html'));
  expect(text).not.toMatch(/NaN|undefined/);
});

test('of two at once in one directory the second is refused, and the first completes', async () => {
  const out = 'twice';
  const first = study(options(out));
  while (!existsSync(join(root, out, 'corpus', '.lock'))) await new Promise((done) => setTimeout(done, 2));
  const second = await failure(study(options(out)));
  expect(second).toMatchObject({ code: 'locked', message: expect.stringContaining(join(root, out)) });
  expect(essence((await first).diagnosis)).toBe(essence(whole));
});

test.each(['capture', 'diagnose'])('stopped in the middle (%s), the rerun completes to the same diagnosis', async (where) => {
  const stop = new AbortController();
  const out = `stopped in ${where}`;
  const onProgress: StudyOptions['onProgress'] = ({ task, done }) => {
    if (task === where && done >= (where === 'diagnose' ? 1 : 0)) stop.abort();
  };
  const error = await failure(study(options(out, { onProgress, signal: stop.signal })));
  expect(error).toMatchObject({ code: 'cancelled', fix: expect.stringContaining('again') });
  const left = (await readdir(join(root, out), { recursive: true })).map((path) => path.split('/').at(-1));
  expect(left).not.toContain('.lock');
  expect(left).not.toContain('diagnosis.json');
  const { diagnosis } = await study(options(out));
  expect(essence(diagnosis)).toBe(essence(whole));
  expect(await readdir(join(root, out))).not.toContain('.layers');
});

test('from a corpus directory and its activations, without a model', async () => {
  const corpus = join(root, 'whole', 'corpus');
  const activations = join(root, 'activations');
  await capture({ model: MODEL, corpus: await readCorpus(corpus), out: activations, pools: ['last'], threads: 1 });
  const { diagnosis } = await study({ ...options('apart'), model: undefined, corpus, activations });
  expect(diagnosis.readout).toEqual(whole.readout);
  expect(JSON.stringify(diagnosis.poolings)).toBe(JSON.stringify(whole.poolings));
  expect(existsSync(join(root, 'apart', 'activations'))).toBe(false);
});

test('other options in the same directory are refused, as is a study of nothing', async () => {
  expect(await failure(study(options('whole', { bootstraps: 101 })))).toMatchObject({
    code: 'misuse',
    message: expect.stringContaining('bootstraps was 100, now 101'),
  });
  expect(await failure(study({ ...options('nothing'), model: undefined }))).toMatchObject({ code: 'misuse' });
  expect(await failure(study(options('nothing', { permutations: 10 })))).toMatchObject({
    code: 'misuse',
    message: expect.stringContaining('permutations'),
  });
  expect(existsSync(join(root, 'nothing'))).toBe(false);
});

test('a directory with files of others is refused before anything is made in it', async () => {
  const mine = join(root, 'mine');
  await mkdir(join(mine, 'corpus'), { recursive: true });
  for (const name of ['draft.tmp', join('corpus', 'rows.parquet')]) await writeFile(join(mine, name), 'mine');
  expect(await failure(study(options('mine')))).toMatchObject({ code: 'misuse', message: expect.stringContaining(mine) });
  await rm(join(mine, 'draft.tmp'));
  expect(await failure(study(options('mine')))).toMatchObject({
    code: 'misuse',
    message: expect.stringContaining(join('corpus', 'rows.parquet')),
  });
  expect(await readdir(mine, { recursive: true })).toEqual(['corpus', join('corpus', 'rows.parquet')]);
  expect(await readFile(join(mine, 'corpus', 'rows.parquet'), 'utf8')).toBe('mine');
  expect(await failure(study({ ...options('x'), out: '' }))).toMatchObject({ code: 'misuse' });
});

test('a finished diagnosis that is damaged or gone is told by name', async () => {
  const json = join(root, 'whole', 'diagnosis.json');
  const sound = await readFile(json, 'utf8');
  const refusal = { code: 'bad-file', message: expect.stringContaining(json) };
  await writeFile(json, sound.slice(0, 1000));
  expect(await failure(study(options('whole')))).toMatchObject(refusal);
  await rm(json);
  expect(await failure(study(options('whole')))).toMatchObject(refusal);
  await writeFile(json, sound);
  expect((await study(options('whole'))).diagnosis).toEqual(whole);
});
