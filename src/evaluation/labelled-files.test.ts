import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { labelledLines, labelledPairs } from './labelled-files.js';
import { ofUnits } from './labelled-texts.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'labelled-'));
});
afterAll(() => rm(root, { recursive: true }));

async function file(name: string, content: string | Uint8Array): Promise<string> {
  await writeFile(join(root, name), content);
  return join(root, name);
}

const PAIRS = ['{"moral_action": "Ann helped.", "immoral_action": "Ann hit Bob."}', '{"virtue": "to give", "vice": "to steal"}'];

test('reads pairs, plain and gzipped, as the same data set', async () => {
  const plain = await labelledPairs(await file('pairs.jsonl', `${PAIRS.join('\n')}\n`));
  expect(plain).toMatchObject({ name: 'pairs', kind: 'pairs', units: 2, authored: null });
  expect(plain.texts).toEqual(['Ann helped.', 'Ann hit Bob.', 'to give', 'to steal']);
  expect([...plain.valence]).toEqual([1, -1, 1, -1]);
  expect([...plain.unit]).toEqual([0, 0, 1, 1]);
  const zipped = await labelledPairs(await file('zipped.jsonl.gz', gzipSync(PAIRS.join('\r\n'))));
  expect({ ...zipped, name: 'pairs' }).toEqual(plain);
});

test('takes some units, each whole', async () => {
  const { texts, unit, pairs, units, valence } = ofUnits(await labelledPairs(join(root, 'pairs.jsonl')), Int32Array.of(1));
  expect({ texts, units }).toEqual({ texts: ['to give', 'to steal'], units: 1 });
  expect([[...unit], [...pairs!], [...valence]]).toEqual([
    [0, 0],
    [0, 1],
    [1, -1],
  ]);
});

test('reads labels: 0 is bad, unless some are below 0', async () => {
  const lines = [
    '{"text": "helping", "label": 1}',
    '{"action": "Hitting.", "label": false}',
    '',
    '{"text": "hitting", "label": 0}',
  ];
  const binary = await labelledLines(await file('binary.jsonl', lines.join('\n')));
  expect(binary.texts).toEqual(['helping', 'Hitting', 'hitting']);
  expect([...binary.valence]).toEqual([1, -1, -1]);
  // The same text twice is one unit.
  expect([[...binary.unit], binary.units]).toEqual([[0, 1, 1], 2]);
  const signed = await labelledLines(await file('signed.jsonl', '{"text": "a", "label": -2}\n{"text": "b", "label": 0}\n'));
  expect([...signed.valence]).toEqual([-2, 0]);
});

test.each([
  ['nothing in it', '', 'holds no lines'],
  ['a line that is not JSON', '{"text": "a", "label": 1}\n{"text"', 'line 2: it is not JSON'],
  ['a list', '[1]', 'line 1: it is no JSON object'],
  ['no text', '{"label": 1}', 'line 1: "action" is missing'],
  ['a text of nothing', '{"text": " .", "label": 1}', 'line 1: "text" is " ."'],
  ['a label in words', '{"text": "a", "label": "good"}', 'line 1: "label" is "good", which is no number'],
])('refuses a file of labels with %s', async (name, content, message) => {
  await expect(labelledLines(await file(`${name}.jsonl`, content))).rejects.toMatchObject({
    code: 'bad-file',
    message: expect.stringContaining(message),
  });
});

test('refuses what cannot be read', async () => {
  await expect(labelledLines(join(root, 'none.jsonl'))).rejects.toMatchObject({ code: 'not-found' });
  await expect(labelledLines(root)).rejects.toMatchObject({ code: 'not-found' });
  const torn = gzipSync('{"text": "a", "label": 1}\n'.repeat(1000)).subarray(0, 60);
  await expect(labelledLines(await file('torn.jsonl.gz', torn))).rejects.toMatchObject({ code: 'bad-file' });
  await expect(labelledPairs(await file('torn-pairs.jsonl.gz', torn))).rejects.toMatchObject({ code: 'bad-file' });
  await expect(labelledPairs(await file('empty.jsonl', '\n'))).rejects.toMatchObject({ code: 'bad-file' });
  await expect(labelledPairs(await file('half.jsonl', '{"virtue": "a"}'))).rejects.toMatchObject({
    code: 'bad-file',
    message: expect.stringContaining('line 1'),
  });
});
