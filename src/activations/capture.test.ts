import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSafetensors } from '../checkpoint/safetensors.js';
import type { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import { takeRows } from '../model/token-rows.js';
import type { Corpus } from '../moral/corpus.js';
import { Random } from '../random.js';
import { type CaptureOptions, capture } from './capture.js';
import type { WrittenShard } from './capture-run.js';
import { ActivationDirectory } from './directory.js';
import { GENERAL_SENTENCES } from './general-text.js';
import { POOLINGS } from './pooling.js';
import { fillTemplate } from './template.js';

/** @file Captures of a random Llama of two blocks, against the definitions worked out text by text in this file. */

const MODEL = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
const CAPTURE = new URL('./capture.js', import.meta.url).href;
const TEMPLATE = '{action} is so';
const HIDDEN = 32;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'capture-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

function phrases(count: number): string[] {
  const random = new Random(3);
  const word = () => Array.from({ length: 1 + random.below(5) }, () => 'etaoinshrdlu'[random.below(12)]).join('');
  const texts = new Set<string>();
  while (texts.size < count) texts.add(Array.from({ length: 1 + random.below(6) }, word).join(' '));
  return [...texts];
}

function corpusOf(texts: string[]): Corpus {
  const rows = {
    length: 0,
    text: new Int32Array(),
    annotation: new Int32Array(),
    foundation: new Uint8Array(),
    signed: new Float32Array(),
  };
  return { name: 'phrases', authored: true, sha256: 'a'.repeat(64), texts, rows };
}

const TEXTS = phrases(400);
/** Several shards: about 40 texts each, the readout's sample the first 256. */
const options = (out: string, more: Partial<CaptureOptions> = {}): CaptureOptions => ({
  model: MODEL,
  corpus: corpusOf(TEXTS),
  out: join(root, out),
  template: TEMPLATE,
  shardBytes: 32_000,
  threads: 1,
  seed: 5,
  ...more,
});

async function shardBytes(dir: string): Promise<Map<string, Buffer>> {
  const files = (await readdir(dir)).filter((file) => file.endsWith('.safetensors')).sort();
  return new Map(await Promise.all(files.map(async (file) => [file, await readFile(join(dir, file))] as const)));
}

const failure = async (work: Promise<unknown>): Promise<MoralscopeError> => {
  try {
    await work;
  } catch (error) {
    return error as MoralscopeError;
  }
  throw new Error('it did not fail');
};

describe('what a capture holds', () => {
  let directory: ActivationDirectory;
  let naive: Awaited<ReturnType<typeof workOut>>;

  /** One text at a time, no padding, every definition written out. */
  async function workOut() {
    const model = await LanguageModel.open(MODEL, { threads: 1 });
    const session = await model.session({ logits: 'last' });
    const run = async (text: string) => {
      const ids = model.tokenizer.encode(text);
      const n = ids.length;
      const { residuals, logits } = await session.run({ ids, lengths: Int32Array.of(n), batch: 1, length: n });
      const states = residuals.map((flat) =>
        Array.from({ length: n }, (_, t) => Array.from(flat.slice(t * HIDDEN, (t + 1) * HIDDEN))),
      );
      return { states, logits: Array.from(logits!) };
    };
    const norm = (state: number[]) => Math.hypot(...state);
    const middle = (values: number[]) => {
      const sorted = values.toSorted((a, b) => a - b);
      return (sorted[Math.ceil(sorted.length / 2 - 1)] + sorted[Math.floor(sorted.length / 2)]) / 2;
    };
    const average = (states: number[][]) => states[0].map((_, i) => states.reduce((sum, s) => sum + s[i], 0) / states.length);
    const general: number[][][][] = [];
    for (const sentence of GENERAL_SENTENCES) general.push((await run(sentence)).states);
    const thresholds = [0, 1].map((layer) => 3 * middle(general.flatMap((states) => states[layer].slice(1).map(norm))));
    const texts = [];
    for (const text of TEXTS.slice(0, 60)) {
      const { states, logits } = await run(fillTemplate(TEMPLATE, text));
      const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
      texts.push({
        tokens: states[0].length,
        logProbs: logits.map((x) => x - total),
        layers: states.map((tokens, layer) => {
          const content = tokens.filter((state, t) => t > 0 && norm(state) <= thresholds[layer]);
          return {
            last: tokens.at(-1)!,
            content: average(content.length ? content : [tokens.at(-1)!]),
            mean: average(tokens),
            norms: [norm(tokens[0]), middle(tokens.slice(1).map(norm))],
          };
        }),
      });
    }
    await session.close();
    await model.close();
    return { thresholds, texts };
  }

  beforeAll(async () => {
    [directory, naive] = [await capture(options('whole')), await workOut()];
  });

  const close = (found: ArrayLike<number>, expected: number[], what: string) => {
    const size = Math.hypot(...expected);
    const error = Math.hypot(...expected.map((x, i) => found[i] - x));
    expect(error / size, what).toBeLessThan(1e-5);
  };

  test('pooled states and norms of every layer, in row order', async () => {
    expect([...directory.layers]).toEqual([0, 1]);
    for (const layer of directory.layers) {
      for (const pooling of POOLINGS) {
        const states = await directory.read(layer, pooling);
        expect(states.length).toBe(TEXTS.length * HIDDEN);
        naive.texts.forEach((text, row) => {
          close(states.subarray(row * HIDDEN, (row + 1) * HIDDEN), text.layers[layer][pooling], `${pooling} of ${TEXTS[row]}`);
        });
      }
      const norms = await directory.norms(layer);
      naive.texts.forEach((text, row) => {
        close(norms.subarray(2 * row, 2 * row + 2), text.layers[layer].norms, `norms of ${TEXTS[row]}`);
      });
    }
  });

  test('thresholds, token counts, texts and provenance', async () => {
    directory.details.calibration.forEach(({ layer, threshold, medianNorm }) => {
      expect(threshold / naive.thresholds[layer]).toBeCloseTo(1, 5);
      expect(threshold).toBe(3 * medianNorm);
    });
    expect([...directory.tokens()].slice(0, 60)).toEqual(naive.texts.map((text) => text.tokens));
    expect(await directory.texts()).toEqual(TEXTS);
    expect(directory.details).toMatchObject({ rows: 400, template: TEMPLATE, truncated: 0, corpus: { name: 'phrases' } });
    expect(directory.details.tokens).toBe(directory.tokens().reduce((a, b) => a + b));
    expect(directory.details.shards.length).toBeGreaterThan(3);
  });

  test('log-probabilities of the likeliest tokens', async () => {
    const readout = (await directory.readout())!;
    expect(readout.tokenIds.length).toBe(72);
    expect(readout.sample).toBeGreaterThan(100);
    expect(new Set(readout.tokenIds).size).toBe(72);
    const width = readout.tokenIds.length;
    naive.texts.forEach(({ logProbs }, row) => {
      readout.tokenIds.forEach((id, t) => {
        expect(Math.abs(readout.logProbs[row * width + t] - logProbs[id])).toBeLessThan(1e-4);
      });
    });
  });

  test('the same command again returns what is there', async () => {
    const again = await capture(options('whole'));
    expect(again.manifest.createdAt).toBe(directory.manifest.createdAt);
  });

  test('other options are refused, naming the difference', async () => {
    const error = await failure(capture(options('whole', { seed: 6 })));
    expect(error).toMatchObject({ code: 'misuse' });
    expect(error.message).toContain('seed was 5, now 6');
  });

  test('asked for what it does not hold, it says what it holds', () => {
    expect(() => directory.read(7, 'last')).toThrow(/no layer 7, only 0, 1/);
    expect(() => directory.read(0, 'tokens' as 'last')).toThrow(/last, content, mean/);
  });

  test.each([
    ['truncated', (path: string) => truncate(path, 1000)],
    ['missing', (path: string) => unlink(path)],
  ])('a %s shard is named', async (what, damage) => {
    const copy = join(root, what);
    await cp(directory.path, copy, { recursive: true });
    await damage(join(copy, 'shard-00003.safetensors'));
    const error = await failure(ActivationDirectory.open(copy));
    expect(error).toMatchObject({ name: 'MoralscopeError', code: 'bad-file' });
    expect(error.message).toContain('shard-00003.safetensors');
  });

  test('one layer without the readout has the same states, and no readout', async () => {
    const one = await capture(options('one', { layers: '0', readout: false, pools: ['last'] }));
    expect(await one.readout()).toBeUndefined();
    const [found, expected] = [await one.read(0, 'last'), await directory.read(0, 'last')];
    for (let i = 0; i < found.length; i++) expect(Math.abs(found[i] - expected[i])).toBeLessThan(1e-5);
  });

  test('token states belong to their texts', async () => {
    const tokens = await capture(options('tokens', { pools: ['tokens', 'mean'], readout: false, layers: [1] }));
    const means = await tokens.read(1, 'mean');
    const counts = tokens.tokens();
    const seen = new Set<number>();
    for (let shard = 0; shard < tokens.shardCount; shard++) {
      const { rows, offsets, states } = await tokens.tokenStates(1, shard);
      rows.forEach((row, i) => {
        seen.add(row);
        expect(offsets[i + 1] - offsets[i]).toBe(counts[row]);
        const sum = new Float64Array(HIDDEN);
        for (let t = offsets[i]; t < offsets[i + 1]; t++) for (let j = 0; j < HIDDEN; j++) sum[j] += states[t * HIDDEN + j];
        for (let j = 0; j < HIDDEN; j++) expect(means[row * HIDDEN + j]).toBe(Math.fround(sum[j] / counts[row]));
      });
      expect(await tokens.shardStates(1, 'mean', shard)).toEqual(takeRows(means, HIDDEN, rows));
    }
    expect(seen.size).toBe(TEXTS.length);
  });

  test('in random order every shard is a fair sample, shards are told of as they are written, and rows stay the same', async () => {
    const told: WrittenShard[] = [];
    const settings = { pools: ['last'], readout: false, layers: [1], order: 'random', shardBytes: 3_000 } as const;
    const mixed = await capture(options('mixed', { ...settings, onShard: (shard) => told.push(shard) }));
    expect(told.map(({ path, index, of }) => [basename(path), index, of])).toEqual(
      mixed.details.shards.map(({ file }, i, all) => [file, i, all.length]),
    );
    const [found, expected] = [await mixed.read(1, 'last'), await directory.read(1, 'last')];
    for (let i = 0; i < found.length; i++) expect(Math.abs(found[i] - expected[i])).toBeLessThan(1e-5);
    // Sorted by length the first half of the shards would hold nearly all of the long texts.
    const counts = mixed.tokens();
    const rows = await Promise.all(told.slice(0, told.length / 2).map(async ({ path }) => rowsOf(path)));
    const half = rows.flat().map((row) => counts[row]);
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(Math.abs(mean(half) / mean([...counts]) - 1)).toBeLessThan(0.2);
  });
});

async function rowsOf(shard: string): Promise<number[]> {
  const file = await openSafetensors(shard);
  const rows = await file.read('row');
  await file.close();
  return [...rows];
}

describe('work that was cut short', () => {
  /** Shards of a few texts, so that there are many moments to die at. */
  const small = { shardBytes: 3_000, readout: true } as const;
  let whole: Map<string, Buffer>;
  beforeAll(async () => {
    await capture(options('uninterrupted', small));
    whole = await shardBytes(join(root, 'uninterrupted'));
    expect(whole.size).toBeGreaterThan(100);
  });

  test('stopped and run again it has the bytes of an uninterrupted run', async () => {
    const out = options('stopped', small);
    for (const stopAt of [10, 150]) {
      const controller = new AbortController();
      const onProgress: CaptureOptions['onProgress'] = ({ task, done }) => {
        if (task === 'capture' && done >= stopAt) controller.abort();
      };
      expect(await failure(capture({ ...out, onProgress, signal: controller.signal }))).toMatchObject({ code: 'cancelled' });
      expect(existsSync(join(out.out, 'manifest.json'))).toBe(false);
    }
    await capture(out);
    expect(await shardBytes(out.out)).toEqual(whole);
  });

  test('killed, it goes on from its whole shards', async () => {
    const out = options('killed', small);
    const script = `import { capture } from ${JSON.stringify(CAPTURE)}; await capture(JSON.parse(process.argv[1]));`;
    const corpus = { ...out.corpus, rows: undefined };
    const child: ChildProcess = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      script,
      JSON.stringify({ ...out, corpus }),
    ]);
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
    while (!existsSync(join(out.out, 'shard-00020.safetensors')) && child.exitCode === null) await sleep(1);
    child.kill('SIGKILL');
    expect(await ended).toBe('SIGKILL');
    const left = await shardBytes(out.out);
    expect(left.size).toBeGreaterThan(20);
    expect(left.size).toBeLessThan(whole.size);
    await writeFile(join(out.out, 'shard-00021.safetensors.1.tmp'), 'half a shard');
    await writeFile(join(out.out, 'draft.tmp'), 'not ours');
    const written = new Map<string, number>();
    for (const file of left.keys()) written.set(file, (await stat(join(out.out, file))).mtimeMs);
    let first: number | undefined;
    await capture({
      ...out,
      onProgress: ({ task, done }) => {
        if (task === 'capture') first ??= done;
      },
    });
    expect(first).toBeGreaterThan(20);
    expect((await readdir(out.out)).filter((file) => file.endsWith('.tmp'))).toEqual(['draft.tmp']);
    for (const [file, at] of written) expect((await stat(join(out.out, file))).mtimeMs, file).toBe(at);
    expect(await shardBytes(out.out)).toEqual(whole);
  });

  test('while one works on a directory, another is refused', async () => {
    const out = options('contended', small);
    const first = capture(out);
    while (!existsSync(join(out.out, '.lock'))) await sleep(1);
    expect(await failure(capture(out))).toMatchObject({ code: 'locked' });
    await first;
    expect(await shardBytes(out.out)).toEqual(whole);
  });
});

describe('input that makes no sense', () => {
  const refused = (more: Partial<CaptureOptions>) => failure(capture(options('refused', more)));
  test.each([
    ['a template without {action}', { template: 'is morally' }, 'misuse', '{action}'],
    ['no texts', { corpus: corpusOf([]) }, 'bad-data', 'no texts'],
    ['an empty text', { corpus: corpusOf(['fine', ' \n']) }, 'bad-data', 'Text 1'],
    ['a layer that is not there', { layers: '0,5-6' }, 'misuse', 'layer 5'],
    ['layers that are no list', { layers: '1-x' }, 'misuse', '1-x'],
    ['a backward range', { layers: '1-0' }, 'misuse', '1-0'],
    ['no layers', { layers: [] }, 'misuse', 'No layer'],
  ] satisfies [string, Partial<CaptureOptions>, string, string][])('%s', async (_, more, code, part) => {
    const error = await refused(more);
    expect(error).toMatchObject({ name: 'MoralscopeError', code });
    expect(error.message).toContain(part);
    expect(existsSync(join(root, 'refused'))).toBe(false);
  });
});

test('plain texts: repeated ones are run once, long ones are cut and counted', async () => {
  const texts = ['the rain', 'the sun', 'the rain', 'a '.repeat(200)];
  const directory = await capture({ model: MODEL, texts, out: join(root, 'plain'), template: '{action}' });
  expect(directory.rows).toBe(3);
  expect(directory.details).toMatchObject({ truncated: 1, maxTokens: 64, corpus: null });
  expect(directory.tokens()[2]).toBe(64);
  expect(await directory.texts()).toEqual(['the rain', 'the sun', 'a '.repeat(200)]);
});
