import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../checkpoint/checkpoint.js';
import { LanguageModel } from '../model/language-model.js';
import { Random } from '../random.js';
import { logitLens } from './logit-lens.js';

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lens-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** The head by hand: unit root mean square (about its mean, for a layer norm), gain, unembedding, minus the mean over the vocabulary. */
async function byHand(
  name: string,
  direction: Float32Array,
  names: { gain: string; head: string; offset?: number; centred?: boolean },
) {
  const { tensors, close } = await openCheckpoint(join(root, name)).then((c) => ({ tensors: c.tensors, close: () => c.close() }));
  const [gain, head] = [await tensors.read(names.gain), await tensors.read(names.head)];
  await close();
  const hidden = gain.length;
  const mean = names.centred ? direction.reduce((a, b) => a + b, 0) / hidden : 0;
  const about = Float64Array.from(direction, (v) => v - mean);
  const rms = Math.sqrt(about.reduce((sum, v) => sum + v * v, 0) / hidden);
  const logits = Float64Array.from({ length: head.length / hidden }, (_, token) =>
    about.reduce((sum, v, c) => sum + (v / rms) * (gain[c] + (names.offset ?? 0)) * head[token * hidden + c], 0),
  );
  const all = logits.reduce((a, b) => a + b, 0) / logits.length;
  return logits.map((value) => value - all);
}

describe.each([
  ['tiny-llama', { gain: 'model.norm.weight', head: 'lm_head.weight' }],
  ['tiny-gemma3', { gain: 'model.norm.weight', head: 'model.embed_tokens.weight', offset: 1 }],
  ['tiny-gpt2', { gain: 'transformer.ln_f.weight', head: 'transformer.wte.weight', centred: true }],
])('%s', (name, names) => {
  test('directions through its own final norm and head', async () => {
    // Not every fixture has a tokenizer, and which one it is does not matter here.
    const path = join(root, name);
    await cp(fixture(name), path, { recursive: true });
    if (!existsSync(join(path, 'tokenizer.json'))) await cp(fixture('tiny-llama/tokenizer.json'), join(path, 'tokenizer.json'));
    const model = await LanguageModel.open(path, { threads: 1 });
    try {
      const { hidden } = model.spec;
      const random = new Random(6);
      const directions = Float32Array.from({ length: 3 * hidden }, () => 0.1 * random.normal());
      const found = await logitLens(model, directions, 5, { precision: 'fp32' });
      expect(found).toHaveLength(3);
      for (const [i, { positive, negative }] of found.entries()) {
        const expected = await byHand(name, directions.subarray(i * hidden, (i + 1) * hidden), names);
        const known = expected.subarray(0, Math.min(expected.length, model.tokenizer.vocabularySize));
        const order = [...known.keys()].sort((a, b) => known[b] - known[a]);
        positive.forEach(({ token, value }, rank) => {
          expect(value).toBeCloseTo(known[order[rank]], 3);
          expect(token).toBe(model.tokenizer.decode([order[rank]]));
        });
        negative.forEach(({ value }, rank) => {
          expect(value).toBeCloseTo(known[order[order.length - 1 - rank]], 3);
        });
      }
    } finally {
      await model.close();
    }
  });
});
