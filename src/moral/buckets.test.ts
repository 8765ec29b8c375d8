import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { Random } from '../random.js';
import { emptyBuckets, type PaperBuckets, paperBuckets } from './buckets.js';
import { buildCorpus } from './build.js';
import { FOUNDATIONS } from './foundation.js';
import { readCorpus } from './read.js';
import { LEVELS } from './vector.js';

const published = new URL('../../../shared/data/paper_moralmi/train_buckets.json.gz', import.meta.url);

const sum = (buckets: PaperBuckets) =>
  Object.values(buckets).reduce(
    (total, kinds) => total + Object.values(kinds).reduce((n, levels) => n + Object.values(levels).reduce((a, b) => a + b, 0), 0),
    0,
  );

/** A table with every judgment and agreement for every foundation and pair of foundations, many times over. */
async function synthetic(): Promise<{ buckets: PaperBuckets; expected: PaperBuckets }> {
  const directory = mkdtempSync(join(tmpdir(), 'moralscope-'));
  try {
    const random = new Random(2);
    const expected = emptyBuckets();
    const lines = ['action\trot-moral-foundations\taction-moral-judgment\taction-agree'];
    for (let i = 0; i < 5000; i++) {
      const tags = FOUNDATIONS.filter(() => random.below(3) === 0);
      const judgment = random.below(5) - 2;
      const agreement = random.below(5);
      if (i % 3 === 0) tags.length = Math.min(tags.length, 1);
      lines.push(`doing ${random.below(3000)} things\t${tags.join('|')}\t${judgment}\t${agreement}`);
      const product = judgment * agreement;
      const kind = product > 0 ? 'virtue' : product < 0 ? 'vice' : 'neutral';
      const level = { 0: '0.0', 1: '0.125', 2: '0.25', 3: '0.375', 4: '0.5', 6: '0.75', 8: '1.0' }[Math.abs(product)]!;
      for (const tag of tags) expected[tag][kind][level] = (expected[tag][kind][level] ?? 0) + 1;
    }
    const from = join(directory, 'made-up.tsv');
    writeFileSync(from, lines.join('\n'));
    const out = join(directory, 'corpus');
    await buildCorpus({ from, out, seed: 0 });
    return { buckets: paperBuckets(await readCorpus(out)), expected };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('counts every row of a corpus in its class', async () => {
  const { buckets, expected } = await synthetic();
  expect(buckets).toEqual(expected);
  expect(Object.keys(buckets['care-harm'].vice)).toEqual(['0.125', '0.25', '0.375', '0.5', '0.75', '1.0']);
});

test.skipIf(!existsSync(published))('has the shape of the published file, whose counts add up', async () => {
  const file = JSON.parse(gunzipSync(readFileSync(published)).toString()) as Record<
    string,
    Record<string, Record<string, number[]>>
  >;
  const counts = Object.fromEntries(
    Object.entries(file).map(([foundation, kinds]) => [
      foundation,
      Object.fromEntries(
        Object.entries(kinds).map(([kind, levels]) => [
          kind,
          Object.fromEntries(Object.entries(levels).map(([level, rows]) => [level, rows.length])),
        ]),
      ),
    ]),
  ) as unknown as PaperBuckets;
  expect(sum(counts)).toBe(201_023);
  const { buckets } = await synthetic();
  const shape = (b: PaperBuckets) =>
    FOUNDATIONS.map((f) => (['virtue', 'vice', 'neutral'] as const).map((kind) => Object.keys(b[f][kind]).sort()));
  expect(shape(buckets)).toEqual(shape(counts));
  expect(Object.keys(buckets).sort()).toEqual(Object.keys(counts).sort());
  expect(Object.keys(counts['care-harm'].virtue).map(Number).sort()).toEqual([...LEVELS]);
});
