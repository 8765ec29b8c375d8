import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../activations/capture.js';
import type { ActivationDirectory } from '../../activations/directory.js';
import { D, golden, MODEL } from './golden.test.support.js';
import { StoredStates } from './state-stream.js';

let root: string;
let directory: ActivationDirectory;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'stream-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  directory = await capture({
    model: MODEL,
    texts: golden.texts,
    template: '{action}',
    out: join(root, 'states'),
    layers: [0],
    pools: ['last', 'tokens'],
    threads: 1,
    shardBytes: 8000,
  });
  expect(directory.shardCount).toBeGreaterThan(3);
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** Every state of a pass, as text and numbers. */
async function all(stream: StoredStates): Promise<string[]> {
  const found: string[] = [];
  for await (const { states, text } of stream.blocks())
    text.forEach((of, i) => {
      found.push(`${of}: ${states.subarray(i * D, (i + 1) * D).join()}`);
    });
  return found;
}

describe.each(['tokens', 'last'] as const)('a stream of %s', (stored) => {
  test('of at most so many takes every so many-th, across shards', async () => {
    const whole = await all(new StoredStates(directory, 0, stored));
    for (const most of [50, 9]) {
      const stream = new StoredStates(directory, 0, stored, { most });
      const some = await all(stream);
      expect(some).toEqual(whole.filter((_, i) => i % stream.stride === 0));
      expect(some.length).toBeLessThanOrEqual(most);
      expect(await all(stream)).toEqual(some);
    }
  });
});

test('states of tokens are those that are no sinks, each with its text', async () => {
  const stream = new StoredStates(directory, 0, 'tokens');
  const whole = await all(stream);
  const { details } = directory;
  expect(whole.length + stream.sinks).toBe(details.tokens);
  expect(stream.sinks).toBeGreaterThanOrEqual(details.rows);
  const { rows, offsets, states } = await directory.tokenStates(0, 1);
  expect(whole).toContain(`${rows[0]}: ${states.subarray((offsets[0] + 1) * D, (offsets[0] + 2) * D).join()}`);
  expect(whole).not.toContain(`${rows[0]}: ${states.subarray(offsets[0] * D, (offsets[0] + 1) * D).join()}`);
});
