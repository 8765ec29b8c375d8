import { describe, expect, test } from 'vitest';
import { Random } from '../random.js';
import type { TrainingOptions, TrainingState } from './training.js';
import { defaultLearningRate, trainingConfig } from './training.js';
import { requireMemory, trainingBytes } from './training-memory.js';
import { TrainingStep } from './training-step.js';

/** Features in superposition: more directions than channels, a few of them active in each state. */
class Superposition {
  private readonly random = new Random(7, 'superposition');
  readonly features: Float64Array[];

  constructor(
    readonly d: number,
    count: number,
    private readonly active: number,
  ) {
    this.features = Array.from({ length: count }, () => {
      const direction = Float64Array.from({ length: d }, () => this.random.normal());
      const norm = Math.hypot(...direction);
      return direction.map((value) => value / norm);
    });
  }

  batch(n: number): Float32Array {
    const { d, random } = this;
    const x = new Float32Array(n * d);
    for (let i = 0; i < n; i++) {
      const chosen = new Set<number>();
      while (chosen.size < this.active) chosen.add(random.below(this.features.length));
      for (const feature of chosen) {
        const strength = 0.5 + random.uniform();
        for (let c = 0; c < d; c++) x[i * d + c] += strength * this.features[feature][c];
      }
    }
    return x;
  }

  /** Share of the features that some decoder row points along. */
  recovered(wDec: Float32Array, cosine: number): number {
    const { d, features } = this;
    const found = features.filter((feature) => {
      for (let j = 0; j < wDec.length; j += d) {
        let along = 0;
        for (let c = 0; c < d; c++) along += feature[c] * wDec[j + c];
        if (along >= cosine) return true;
      }
      return false;
    });
    return found.length / features.length;
  }
}

test.each(['topk', 'batchtopk'] as const)('%s recovers planted features', async (architecture) => {
  const toy = new Superposition(64, 256, 5);
  const [steps, batch] = [1200, 512];
  const training = await TrainingStep.open(
    { architecture, dIn: 64, width: 512, k: 5, batch, steps, learningRate: 0.003, deadAfterTokens: 20_000 },
    { bDec: new Float32Array(64) },
  );
  let last = await training.step(toy.batch(batch), batch);
  const before = (await training.autoencoder()).weights.wDec;
  for (let step = 1; step < steps; step++) last = await training.step(toy.batch(batch), batch);
  const { spec, weights } = await training.autoencoder();
  await training.close();
  expect(toy.recovered(before, 0.95)).toBe(0);
  expect(toy.recovered(weights.wDec, 0.95)).toBeGreaterThanOrEqual(0.95);
  expect(last.fvu).toBeLessThan(0.2);
  expect(last.l0).toBeLessThanOrEqual(5);
  expect(spec.architecture).toBe(architecture === 'topk' ? 'topk' : 'jumprelu');
  if (architecture === 'batchtopk') expect(new Set(weights.threshold)).toEqual(new Set([Math.fround(last.threshold)]));
});

const SMALL: TrainingOptions = {
  architecture: 'topk',
  dIn: 24,
  width: 96,
  k: 6,
  batch: 64,
  steps: 12,
  learningRate: 0.01,
  deadAfterTokens: 150,
  threads: 2,
};

/** Everything a run consists of: progress, and every number of its state. */
async function contents(training: TrainingStep): Promise<{ progress: object; tensors: Record<string, string> }> {
  const state = training.state();
  const tensors: Record<string, string> = {};
  for (const { name } of state.tensors) {
    const { buffer, byteOffset, byteLength } = await state.read(name);
    tensors[name] = Buffer.from(buffer, byteOffset, byteLength).toString('base64');
  }
  return { progress: state.progress, tensors };
}

/** The state as a checkpoint would keep it. */
async function kept(training: TrainingStep): Promise<TrainingState> {
  const state = training.state();
  const tensors = new Map<string, Float32Array | Int32Array>();
  for (const { name } of state.tensors) tensors.set(name, await state.read(name));
  return { ...JSON.parse(JSON.stringify(state)), read: async (name: string) => tensors.get(name)! };
}

describe.each(['relu', 'topk', 'batchtopk'] as const)('%s', (architecture) => {
  const options = { ...SMALL, architecture };
  const toy = new Superposition(24, 60, 4);
  const bDec = new Float32Array(24).fill(0.1);
  const batches = Array.from({ length: 12 }, (_, step) => toy.batch(step === 7 ? 50 : 64));

  async function run(training: TrainingStep, from: number, to: number): Promise<void> {
    for (const batch of batches.slice(from, to)) {
      await training.step(batch, batch.length / 24);
      training.endEpoch();
    }
  }

  test('the same start and batches give the same bytes, and so does a run that was taken up again', async () => {
    const whole = await TrainingStep.open(options, { bDec });
    await run(whole, 0, 12);
    const first = await TrainingStep.open(options, { bDec });
    await run(first, 0, 6);
    const state = await kept(first);
    await first.close();
    const second = await TrainingStep.open({ ...options, threads: 1 }, { state });
    expect(second.progress.step).toBe(6);
    await run(second, 6, 12);
    const [one, other] = [await contents(whole), await contents(second)];
    expect(other).toEqual(one);
    expect(one.progress).toMatchObject({ step: 12, tokens: 11 * 64 + 50, shards: 2 });
    const reseeded = await TrainingStep.open({ ...options, seed: 2 }, { bDec });
    await run(reseeded, 0, 12);
    expect((await contents(reseeded)).tensors).not.toEqual(one.tensors);
    for (const training of [whole, second, reseeded]) await training.close();
  });

  test('a value that is no number is refused, and nothing has changed', async () => {
    const training = await TrainingStep.open(options, { bDec });
    await run(training, 0, 2);
    const before = await contents(training);
    const bad = batches[0].slice();
    bad[61 * 24 + 5] = Number.NaN;
    await expect(training.step(bad, 64)).rejects.toMatchObject({
      code: 'bad-data',
      message: expect.stringContaining('NaN in state 61, channel 5'),
    });
    await expect(training.step(new Float32Array(64 * 24).fill(2), 64)).rejects.toMatchObject({ code: 'bad-data' });
    expect(await contents(training)).toEqual(before);
    await run(training, 2, 3);
    await training.close();
  });
});

describe('the default learning rate', () => {
  test.each([
    ['topk', 2 ** 14, 1e6, 2e-4],
    ['topk', 2 ** 12, 55_000, 4e-4],
    ['batchtopk', 2 ** 14, 13_750, 4e-4],
    ['topk', 2 ** 14, 10, 2.4e-3],
    ['relu', 2 ** 14, 10, 2e-4],
  ] as const)('of %s with %d latents in %d steps is %d', (architecture, width, steps, expected) => {
    expect(defaultLearningRate({ architecture, width, steps })).toBeCloseTo(expected, 12);
  });

  test('takes a short run further than the published one', async () => {
    const [batch, steps] = [256, 200];
    const found: number[] = [];
    for (const learningRate of [undefined, 2e-4 / Math.sqrt(256 / 2 ** 14)]) {
      const toy = new Superposition(32, 128, 3);
      const training = await TrainingStep.open(
        { architecture: 'topk', dIn: 32, width: 256, k: 3, batch, steps, learningRate },
        { bDec: new Float32Array(32) },
      );
      let fvu = 1;
      for (let step = 0; step < steps; step++) ({ fvu } = await training.step(toy.batch(batch), batch));
      await training.close();
      found.push(fvu);
    }
    expect(found[0]).toBeLessThan(0.8 * found[1]);
  });
});

test('lambda follows the epoch', async () => {
  const toy = new Superposition(24, 60, 4);
  const training = await TrainingStep.open({ ...SMALL, architecture: 'relu', k: 1, lambda: 0.5 }, { bDec: new Float32Array(24) });
  const { l0 } = await training.step(toy.batch(64), 64);
  expect(l0).toBeGreaterThan(2);
  training.endEpoch();
  expect(training.progress.lambda).toBeCloseTo(0.6, 12);
  expect((await training.step(toy.batch(64), 64)).lambda).toBeCloseTo(0.6, 12);
  await training.close();
});

test.each([
  [{ width: 4 }, 'k is 6, more than the 4 latents'],
  [{ batch: 0 }, 'batch is 0'],
  [{ width: 1.5 }, 'width is 1.5'],
  [{ learningRate: Number.NaN }, 'learningRate is NaN'],
  [{ beta2: 1 }, 'beta2 is 1'],
])('options %j are refused', async (changes, message) => {
  const opened = TrainingStep.open({ ...SMALL, ...changes }, { bDec: new Float32Array(24) });
  await expect(opened).rejects.toMatchObject({ code: 'misuse', message: expect.stringContaining(message) });
});

test('what does not fit is refused before anything is allocated, with the largest width that does', async () => {
  const options: TrainingOptions = { architecture: 'topk', dIn: 4096, width: 65536, batch: 4096, steps: 1000, threads: 2 };
  const memory = 3 * 2 ** 30;
  const refused = await TrainingStep.open({ ...options, memory }, { bDec: new Float32Array(4096) }).catch((error) => error);
  expect(refused).toMatchObject({ code: 'misuse', message: expect.stringContaining('there are 3.0 GiB') });
  const width = Number(refused.fix.match(/at most (\d+)/)[1]);
  expect(trainingBytes(trainingConfig({ ...options, width }))).toBeLessThanOrEqual(memory);
  expect(trainingBytes(trainingConfig({ ...options, width: width + 64 }))).toBeGreaterThan(memory);
  expect(trainingBytes(trainingConfig(options))).toBeLessThan(16 * 2 ** 30);
});

test('what fits by itself is refused side by side with what leaves it no room', () => {
  const of = (width: number) => trainingConfig({ architecture: 'topk', dIn: 512, width, batch: 512, steps: 10, threads: 1 });
  const [small, large] = [of(4096), of(8192)];
  const memory = Math.max(trainingBytes(small), trainingBytes(large)) + 1;
  expect(() => requireMemory([{ ...large, memory }])).not.toThrow();
  expect(() => requireMemory([small, large].map((config) => ({ ...config, memory })))).toThrow('4096 and 8192 latents');
});

test('weights or a state of another shape are refused', async () => {
  await expect(TrainingStep.open(SMALL, { bDec: new Float32Array(23) })).rejects.toMatchObject({ code: 'bad-file' });
  const training = await TrainingStep.open(SMALL, { bDec: new Float32Array(24) });
  const { weights } = await training.autoencoder();
  await expect(TrainingStep.open({ ...SMALL, width: 95 }, { weights })).rejects.toMatchObject({ code: 'bad-file' });
  const state = await kept(training);
  await expect(TrainingStep.open({ ...SMALL, width: 128 }, { state })).rejects.toMatchObject({ code: 'bad-file' });
  await training.close();
});
