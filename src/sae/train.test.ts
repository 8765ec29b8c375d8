import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { capture } from '../activations/capture.js';
import { sha256File } from '../artifact/files.js';
import { Random } from '../random.js';
import { openSae } from './formats/open-sae.js';
import { type TrainedSummary, trainSaes } from './train.js';
import type { TrainSaeOptions } from './train-options.js';

/** @file Runs on the states of a random Llama of two blocks, of width 32. */

const MODEL = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
const TRAIN = new URL('./train.js', import.meta.url).href;

let root: string;
let texts: string[];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'train-'));
  process.env.MORALSCOPE_CACHE = join(root, 'cache');
  const random = new Random(4);
  const word = () => String.fromCharCode(...Array.from({ length: 1 + random.below(6) }, () => 97 + random.below(26)));
  texts = Array.from({ length: 300 }, () => Array.from({ length: 3 + random.below(6) }, word).join(' '));
  const common = { model: MODEL, texts, template: '{action}', readout: false, threads: 1, shardBytes: 60_000 };
  await capture({ ...common, out: join(root, 'states'), pools: ['tokens', 'mean'], layers: [0, 1], order: 'random' });
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

type Options = z.input<typeof TrainSaeOptions>;

const options = (out: string, more: Partial<Options> = {}): Options => ({
  activations: join(root, 'states'),
  out: join(root, out),
  layers: '1',
  width: [64],
  k: [4],
  batch: 64,
  tokens: 64 * 60,
  learningRate: 3e-3,
  checkpointEvery: 7,
  threads: 1,
  ...more,
});

/** sha256 of every file of a run, the manifest left out, which tells the time. */
async function contents(out: string): Promise<Record<string, string>> {
  const files = (await readdir(join(root, out), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath, entry.name)).filter((path) => !path.endsWith('manifest.json'));
  return Object.fromEntries(
    await Promise.all(paths.sort().map(async (path) => [path.slice(join(root, out).length), await sha256File(path)] as const)),
  );
}

describe('a run on stored states', () => {
  let whole: Record<string, string>;
  let saes: TrainedSummary[];

  beforeAll(async () => {
    const { manifest } = await trainSaes(options('whole', { layers: 'all', width: ['48', '64'] }));
    saes = manifest.details.saes as TrainedSummary[];
    whole = await contents('whole');
  });

  test('makes a SAELens directory for every layer and width, and learns', async () => {
    expect(saes.map(({ folder }) => folder)).toEqual(['L0-topk-w48-k4', 'L0-topk-w64-k4', 'L1-topk-w48-k4', 'L1-topk-w64-k4']);
    for (const { folder, width, layer, fvu, l0 } of saes) {
      const { sae, origin, logSparsity } = await openSae(join(root, 'whole', folder));
      expect(sae.spec).toMatchObject({ architecture: 'topk', dIn: 32, width, k: 4 });
      expect(origin).toMatchObject({ site: { layer, point: 'resid_post' }, modelName: 'tiny-llama' });
      const fires = logSparsity!.reduce((sum, log) => sum + 10 ** log, 0);
      expect(fires).toBeCloseTo(l0, 3);
      const lines = (await readFile(join(root, 'whole', folder, 'metrics.jsonl'), 'utf8'))
        .trimEnd()
        .split('\n')
        .map((l) => JSON.parse(l));
      expect(lines.map(({ step }) => step)).toEqual([10, 20, 30, 40, 50, 60]);
      expect(lines.at(-1).tokens).toBe(64 * 60);
      expect(fvu).toBeLessThan(0.8 * lines[0].fvu);
      expect(fvu).toBeGreaterThan(0);
    }
  });

  test('leaves nothing but what it made', () => {
    const kinds = new Set(Object.keys(whole).map((path) => path.split('/').at(-1)));
    expect([...kinds].sort()).toEqual(['cfg.json', 'metrics.jsonl', 'sae_weights.safetensors', 'sparsity.safetensors']);
  });

  test('stopped and taken up again it ends with the same bytes', async () => {
    const again = options('stopped', { layers: 'all', width: ['48', '64'] });
    for (const stopAt of [12, 40, 30]) {
      const stop = new AbortController();
      let reports = 0;
      const onProgress = () => {
        if (++reports === stopAt) stop.abort();
      };
      await expect(trainSaes({ ...again, onProgress, signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
      expect(existsSync(join(root, 'stopped', 'manifest.json'))).toBe(false);
    }
    await trainSaes({ ...again, resume: true });
    expect(await contents('stopped')).toEqual(whole);
  });

  test('killed at any moment it goes on from its last checkpoint to the same bytes', async () => {
    const again = options('killed', { layers: 'all', width: ['48', '64'] });
    const program = `import { trainSaes } from ${JSON.stringify(TRAIN)}; await trainSaes(${JSON.stringify(again)});`;
    for (let attempt = 0; attempt < 3; attempt++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
      const ended = new Promise((resolve) => child.on('exit', resolve));
      const found = () => readdir(join(root, 'killed')).catch(() => [] as string[]);
      const before = (await found()).join();
      while (child.exitCode === null && (await found()).join() === before) await sleep(5);
      await sleep(30 * attempt);
      child.kill('SIGKILL');
      await ended;
    }
    await trainSaes(again);
    expect(await contents('killed')).toEqual(whole);
  });

  test('the same call again returns at once', async () => {
    const events: unknown[] = [];
    const { manifest } = await trainSaes({
      ...options('whole', { layers: 'all', width: ['48', '64'] }),
      onProgress: (event) => events.push(event),
    });
    expect(manifest.details.saes).toEqual(saes);
    expect(events).toEqual([]);
  });

  test('other options are listed, not mixed', async () => {
    const other = options('whole', { layers: 'all', width: ['48', '64'], k: [5], seed: 3 });
    await expect(trainSaes(other)).rejects.toMatchObject({
      code: 'misuse',
      message: /seed was 0, now 3.*k was \[4\], now \[5\]/s,
    });
  });
});

describe('states', () => {
  test('pooled ones can be trained on, epoch by epoch', async () => {
    const { manifest } = await trainSaes(
      options('pooled', { states: 'mean', tokens: undefined, epochs: 12.8, arch: 'relu', k: [8] }),
    );
    expect(manifest.details).toMatchObject({ steps: 60, states: 3840, epochs: 12.8 });
  });

  test('activations that lie in the directory of the run are not removed with it', async () => {
    const run = options('around', { tokens: 64 * 2 });
    const stop = new AbortController();
    await expect(
      trainSaes({ ...run, onProgress: ({ task }) => task.startsWith('train') && stop.abort(), signal: stop.signal }),
    ).rejects.toMatchObject({ code: 'cancelled' });
    await rename(join(root, 'states'), join(root, 'around', 'activations'));
    try {
      await trainSaes({ ...run, activations: join(root, 'around', 'activations') });
      expect(await readdir(join(root, 'around', 'activations'))).toContain('manifest.json');
    } finally {
      await rename(join(root, 'around', 'activations'), join(root, 'states'));
    }
  });

  test('of a model and its texts, captured while it learns, train to what stored ones train to', async () => {
    const file = join(root, 'texts.txt');
    await writeFile(file, texts.join('\n'));
    const given = { activations: undefined, model: MODEL, text: [file], tokens: 64 * 40 };
    const { manifest } = await trainSaes(options('streamed', given));
    const [{ fvu }] = manifest.details.saes as TrainedSummary[];
    expect(fvu).toBeLessThan(0.8);
    expect(await readdir(join(root, 'streamed'))).not.toContain('activations');
    const stop = new AbortController();
    const onProgress = ({ task, done }: { task: string; done: number }) => {
      if (task.startsWith('train') && done >= 64 * 20) stop.abort();
    };
    const again = options('streamed-stopped', { ...given, keepActivations: true });
    await expect(trainSaes({ ...again, onProgress, signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
    await trainSaes(again);
    const { '/L1-topk-w64-k4/sae_weights.safetensors': weights } = await contents('streamed');
    expect(await contents('streamed-stopped')).toMatchObject({ '/L1-topk-w64-k4/sae_weights.safetensors': weights });
  });

  test.each<[Partial<Options>, string, RegExp]>([
    [{ activations: undefined }, 'misuse', /--activations or --model/],
    [{ model: MODEL }, 'misuse', /--activations or --model/],
    [{ text: ['x.txt'] }, 'misuse', /go with --model/],
    [{ activations: undefined, model: MODEL }, 'misuse', /no text/],
    [{ layers: '5' }, 'misuse', /layer 5/],
    [{ states: 'last' }, 'misuse', /holds no 'last' states/],
    [{ k: [65] }, 'misuse', /k is 65/],
    [{ resume: true }, 'misuse', /no run to resume/],
  ])('%j is refused', async (more, code, message) => {
    await expect(trainSaes(options('refused', more))).rejects.toMatchObject({ code, message });
  });
});
