import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NeuronpediaBatch, type NeuronpediaFeature, neuronpediaBatches, writeNeuronpedia } from './neuronpedia.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'moralscope-neuronpedia-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const SOURCE = { modelId: 'SmolLM2-135M', layer: 10, set: 'Res-Moral' };

function feature(index: number, changes: Partial<NeuronpediaFeature> = {}): NeuronpediaFeature {
  return {
    index,
    density: 0.01,
    topLogits: [{ token: ' kind', value: 1.5 }],
    bottomLogits: [{ token: ' cruel', value: -1.25 }],
    explanations: [{ text: 'helping a friend' }],
    activations: [{ tokens: ['help', 'ing', ' a', ' friend'], values: [0, 0.5, 0, 3] }],
    ...changes,
  };
}

const all = async (features: NeuronpediaFeature[], source = SOURCE) => {
  const batches: NeuronpediaBatch[] = [];
  for await (const batch of neuronpediaBatches(source, features)) batches.push(batch);
  return batches;
};

test('files of up to 128 features, as they came', async () => {
  async function* some() {
    for (let i = 0; i < 300; i++) yield feature(3 * i);
  }
  const paths = await writeNeuronpedia(join(root, 'deep', 'out'), SOURCE, some());
  expect(paths).toEqual([0, 1, 2].map((i) => join(root, 'deep', 'out', `features-${i}.json`)));
  expect((await readdir(join(root, 'deep', 'out'))).sort()).toEqual(['features-0.json', 'features-1.json', 'features-2.json']);
  const batches = await Promise.all(paths.map(async (path) => NeuronpediaBatch.parse(JSON.parse(await readFile(path, 'utf8')))));
  expect(batches.map(({ features }) => features.length)).toEqual([128, 128, 44]);
  expect(batches.flatMap(({ features }) => features)).toEqual(Array.from({ length: 300 }, (_, i) => feature(3 * i)));
  for (const { modelId, source } of batches) expect([modelId, source]).toEqual(['smollm2-135m', '10-res-moral']);
});

test('of no features there is no file', async () => {
  expect(await writeNeuronpedia(join(root, 'none'), SOURCE, [])).toEqual([]);
});

test('a directory with other files is left as it is', async () => {
  const mine = join(root, 'mine');
  await mkdir(mine);
  await writeFile(join(mine, 'features-mine.json'), 'mine');
  await expect(writeNeuronpedia(mine, SOURCE, [feature(0)])).rejects.toMatchObject({
    code: 'misuse',
    message: expect.stringContaining('features-mine.json'),
  });
  expect(await readdir(mine)).toEqual(['features-mine.json']);
});

describe('what Neuronpedia would refuse', () => {
  const activation = { tokens: ['a'], values: [1] };
  test.each([
    ['an index that is no latent', feature(-1), /Feature -1: index/],
    ['a density above 1', feature(0, { density: 1.5 }), /Feature 0: density/],
    ['a density that is no number', feature(0, { density: Number.NaN }), /Feature 0: density/],
    ['no activations', feature(0, { activations: [] }), /activations/],
    [
      'values fewer than tokens',
      feature(0, { activations: [{ tokens: ['a', 'b'], values: [1] }] }),
      /activations\.0 tokens and values/,
    ],
    ['an empty token', feature(0, { activations: [activation, { tokens: [''], values: [1] }] }), /activations\.1\.tokens\.0/],
    [
      'a value that is not finite',
      feature(0, { activations: [{ tokens: ['a'], values: [Number.POSITIVE_INFINITY] }] }),
      /values\.0/,
    ],
    ['a long text', feature(0, { activations: [{ tokens: Array(1025).fill('a'), values: Array(1025).fill(0) }] }), /tokens/],
    ['many logits', feature(0, { topLogits: Array(21).fill({ token: 'a', value: 1 }) }), /topLogits/],
    ['a long explanation', feature(0, { explanations: [{ text: 'a'.repeat(513) }] }), /explanations\.0\.text/],
    ['a field it does not know', { ...feature(0), name: 'x' }, /Feature 0/],
  ])('%s', async (_, one, message) => {
    await expect(all([one])).rejects.toMatchObject({ code: 'bad-data', message: expect.stringMatching(message) });
  });

  test('a feature twice, a source without a name', async () => {
    await expect(all([feature(4), feature(5), feature(4)])).rejects.toMatchObject({
      message: expect.stringContaining('Feature 4 comes twice'),
    });
    await expect(all([feature(4)], { ...SOURCE, set: '' })).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('source'),
    });
    await expect(all([feature(4)], { ...SOURCE, layer: -1 })).rejects.toMatchObject({ code: 'bad-data' });
  });
});
