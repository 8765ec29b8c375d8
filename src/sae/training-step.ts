import { Crew } from '../diagnosis/crew.js';
import { MoralscopeError } from '../errors.js';
import { batchTopKAsJumpRelu, type SaeWeights, type SparseAutoencoder, sparseAutoencoder } from './architecture.js';
import { type Exchange, type LatentRange, latentRanges, openExchange, paddedLength } from './exchange.js';
import type { AdamFigures } from './kernel.js';
import { lossOf, spread, total } from './loss.js';
import { PlainKernel } from './plain-kernel.js';
import type { ShardData, ShardResult, ShardTask, ShardTasks } from './shard-thread.js';
import {
  adaptedLambda,
  learningRate,
  type StateTensor,
  type StepMetrics,
  type TrainingConfig,
  type TrainingOptions,
  type TrainingProgress,
  type TrainingState,
  trainingConfig,
} from './training.js';
import { requireMemory, shardsOf } from './training-memory.js';

/** Where training begins: at a centre (geometric median or mean of states) with random directions, at weights, or where it stopped. */
export type TrainingStart = { bDec: Float32Array } | { weights: SaeWeights } | { state: TrainingState };

const CENTRE = 'centre';

/**
 * A sparse autoencoder in training, step by step. Adam's moments, the learning-rate schedule and the account of dead latents
 * are inside. The same start and batches give the same bytes.
 *
 * @example
 * const training = await TrainingStep.open({ architecture: 'topk', dIn, width: 4608, batch: 2048, steps: 2000 }, { bDec });
 * for (const batch of batches) console.log(await training.step(batch, batch.length / dIn));
 * const sae = await training.autoencoder();
 * await training.close();
 */
export class TrainingStep {
  /** b_dec with its moments; every shard gets a copy. */
  private readonly centre: { weight: Float32Array; mean: Float32Array; square: Float32Array; gradient: Float32Array };
  private readonly plain: PlainKernel;
  private stepping = false;
  private dead = 0;
  private tensors: readonly StateTensor[] = [];

  private constructor(
    readonly config: TrainingConfig,
    private readonly shards: readonly { crew: Crew<ShardTask, ShardResult>; range: LatentRange }[],
    private readonly exchange: Exchange,
    private now: TrainingProgress,
  ) {
    const vector = () => new Float32Array(config.dIn);
    this.centre = { weight: vector(), mean: vector(), square: vector(), gradient: vector() };
    this.plain = new PlainKernel(config.dIn);
  }

  /**
   * @throws MoralscopeError `misuse` for options that make no sense or do not fit into memory (with the largest width that
   * does); `bad-file` for weights or a state of another shape; `bad-data` for a centre that is no finite number
   */
  static async open(options: TrainingOptions, start: TrainingStart): Promise<TrainingStep> {
    const config = trainingConfig(options);
    requireMemory([config]);
    const shards = 'state' in start ? start.state.progress.shards : shardsOf(config);
    const exchange = openExchange(config, shards);
    const ranges = latentRanges(config.width, shards);
    const crews = ranges.map((range, shard) => {
      const data: ShardData = { config, range, exchange, place: { shard, shards } };
      return { range, crew: new Crew<ShardTask, ShardResult>(new URL('./shard-thread.js', import.meta.url), data, 1) };
    });
    const zero = { step: 0, tokens: 0, epochL0: 0, epochTokens: 0, thresholdMean: 0, thresholdBatches: 0 };
    const progress = 'state' in start ? start.state.progress : { ...zero, lambda: config.lambda, shards };
    const training = new TrainingStep(config, crews, exchange, { ...progress });
    try {
      await training.begin(start);
      return training;
    } catch (error) {
      await training.close();
      throw error;
    }
  }

  /** The run's progress so far. */
  get progress(): TrainingProgress {
    return { ...this.now };
  }

  /**
   * One step on n <= config.batch states.
   * @param batch [n, dIn], left as it is
   * @throws MoralscopeError `bad-data` for a value that is no finite number, or states that are all the same; nothing was
   * changed then
   */
  async step(batch: Float32Array, n: number): Promise<StepMetrics> {
    const { config, now } = this;
    const { dIn, width, architecture } = config;
    if (batch.length !== n * dIn || n < 1 || n > config.batch)
      throw new RangeError(`a batch of ${n} states of ${dIn} channels, at most ${config.batch}, given ${batch.length} numbers`);
    if (this.stepping) throw new RangeError('a step before the last one has ended');
    this.stepping = true;
    try {
      this.exchange.batch.set(batch);
      const inputs = await this.all('encode', { n, centre: this.centre.weight, dead: this.dead });
      const variation = spread(inputs, n);
      if (!Number.isFinite(variation)) throw notFinite(batch, dIn);
      if (!(variation > 0))
        throw new MoralscopeError('bad-data', `A batch of ${n} states has no variance.`, 'Give more states, and different ones.');

      const activity = await this.all('decode', { n });
      const residuals = await this.all('residual', { n });
      const loss = lossOf(config, now.lambda, { n, variation, dead: this.dead }, activity, residuals);
      const gradients = await this.all('gradients', { n, ...loss });

      const step = now.step + 1;
      const gradient = this.centre.gradient;
      for (let c = 0; c < dIn; c++)
        gradient[c] = loss.scale * total(residuals.map((part) => part.sums[c])) + total(gradients.map((part) => part.centre[c]));
      const norm = Math.sqrt(total([...gradients.map((part) => part.squares), ...Array.from(gradient, (g) => g * g)]));
      if (!Number.isFinite(norm)) throw notFinite(batch, dIn);
      const rate = learningRate(config, step);
      const figures: AdamFigures = {
        clip: norm > config.clip ? config.clip / norm : 1,
        beta1: config.beta1,
        beta2: config.beta2,
        rate: rate / (1 - config.beta1 ** step),
        root: 1 / Math.sqrt(1 - config.beta2 ** step),
        epsilon: config.epsilon,
      };
      const dead = await this.all('update', { n, figures });
      this.plain.adamVector(this.centre, figures);

      const least = Math.min(...activity.map((part) => part.least));
      const tracked = architecture === 'batchtopk' && Number.isFinite(least);
      const decay = config.thresholdDecay;
      this.now = {
        ...now,
        step,
        tokens: now.tokens + n,
        epochL0: now.epochL0 + loss.l0 * n,
        epochTokens: now.epochTokens + n,
        thresholdMean: tracked ? decay * now.thresholdMean + (1 - decay) * least : now.thresholdMean,
        thresholdBatches: now.thresholdBatches + Number(tracked),
      };
      const metrics: StepMetrics = {
        step,
        tokens: this.now.tokens,
        loss: loss.value,
        fvu: loss.fvu,
        mse: loss.mse,
        l0: loss.l0,
        l1: loss.l1,
        dead: this.dead / width,
        aux: loss.aux,
        gradientNorm: norm,
        learningRate: rate,
        lambda: architecture === 'relu' ? now.lambda : 0,
        threshold: this.threshold(),
      };
      this.dead = total(dead);
      return metrics;
    } finally {
      this.stepping = false;
    }
  }

  /** Ends an epoch: adapts lambda to the epoch's mean L0 (`relu`). */
  endEpoch(): void {
    const { lambda, epochL0, epochTokens } = this.now;
    const adapted = epochTokens > 0 ? adaptedLambda(lambda, epochL0 / epochTokens, this.config.k) : lambda;
    this.now = { ...this.now, lambda: adapted, epochL0: 0, epochTokens: 0 };
  }

  /** What has been trained, ready for use: `batchtopk` comes as `jumprelu` with its running threshold. */
  async autoencoder(): Promise<SparseAutoencoder> {
    const { config } = this;
    const { dIn, width, architecture, k } = config;
    const weights: SaeWeights = {
      wEnc: new Float32Array(dIn * width),
      wDec: new Float32Array(width * dIn),
      bEnc: new Float32Array(width),
      bDec: this.centre.weight.slice(),
    };
    const stride = paddedLength(dIn);
    for (const [s, { range }] of this.shards.entries()) {
      const read = async (name: string) => (await this.read(`shard.${s}/${name}`)) as Float32Array;
      const encoder = await read('encoder');
      for (let j = 0; j < range.count; j++)
        for (let c = 0; c < dIn; c++) weights.wEnc[c * width + range.first + j] = encoder[j * stride + c];
      const decoder = await read('decoder');
      for (let j = 0; j < range.count; j++)
        weights.wDec.set(decoder.subarray(j * stride, j * stride + dIn), (range.first + j) * dIn);
      weights.bEnc.set((await read('bias')).subarray(0, range.count), range.first);
    }
    const spec = { dIn, width, applyDecoderBiasToInput: true, normalisation: 'none' } as const;
    if (architecture === 'relu') return sparseAutoencoder({ ...spec, architecture }, weights);
    const sae = sparseAutoencoder({ ...spec, architecture, k }, weights);
    return architecture === 'topk' ? sae : batchTopKAsJumpRelu(sae, this.threshold());
  }

  /** The state now. Its tensors must be read before the next step. */
  state(): TrainingState {
    const { step } = this.now;
    const read = (name: string) => {
      if (this.now.step !== step) throw new RangeError(`the state of step ${step} read after step ${this.now.step}`);
      return this.read(name);
    };
    return { progress: this.progress, tensors: this.tensors, read };
  }

  async close(): Promise<void> {
    await Promise.all(this.shards.map(({ crew }) => crew.close()));
  }

  private async begin(start: TrainingStart): Promise<void> {
    const vectors = [CENTRE, `${CENTRE}.mean`, `${CENTRE}.square`];
    this.tensors = [
      ...vectors.map((name) => ({ name, type: 'float32' as const, shape: [this.config.dIn] })),
      ...(await this.all('describe', {})).flatMap(({ tensors }) => tensors),
    ];
    if ('state' in start) await this.restore(start.state);
    else {
      const bDec = 'weights' in start ? start.weights.bDec : start.bDec;
      if (bDec.length !== this.config.dIn)
        throw new MoralscopeError('bad-file', `b_dec has ${bDec.length} numbers, expected ${this.config.dIn}.`);
      if (!bDec.every(Number.isFinite)) throw new MoralscopeError('bad-data', 'b_dec holds a value that is no finite number.');
      this.centre.weight.set(bDec);
      if ('weights' in start) await this.take(start.weights);
      else await this.all('initialise', {});
    }
    this.dead = total((await this.all('describe', {})).map(({ dead }) => dead));
  }

  private async take(given: SaeWeights): Promise<void> {
    const { dIn, width, k } = this.config;
    const spec = { architecture: 'topk', dIn, width, k, applyDecoderBiasToInput: true, normalisation: 'none' } as const;
    const { wEnc, wDec, bEnc } = sparseAutoencoder(spec, given).weights;
    const stride = paddedLength(dIn);
    for (const [s, { crew, range }] of this.shards.entries()) {
      const rows = range.count * stride;
      const encoder = new Float32Array(rows);
      const decoder = new Float32Array(rows);
      for (let j = 0; j < range.count; j++) {
        const latent = range.first + j;
        for (let c = 0; c < dIn; c++) encoder[j * stride + c] = wEnc[c * width + latent];
        const row = wDec.subarray(latent * dIn, (latent + 1) * dIn);
        const norm = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
        if (!(norm > 0)) throw new MoralscopeError('bad-data', `Decoder row ${latent} has norm ${norm}.`);
        for (let c = 0; c < dIn; c++) decoder[j * stride + c] = row[c] / norm;
      }
      await crew.run({ kind: 'write', name: `shard.${s}/encoder`, data: encoder });
      await crew.run({ kind: 'write', name: `shard.${s}/decoder`, data: decoder });
      const bias = bEnc.slice(range.first, range.first + range.count);
      await crew.run({ kind: 'write', name: `shard.${s}/bias`, data: bias });
    }
  }

  private async restore(state: TrainingState): Promise<void> {
    for (const { name, type, shape } of this.tensors) {
      const data = await state.read(name);
      const length = shape.reduce((a, b) => a * b, 1);
      if (data.length !== length || data instanceof Float32Array !== (type === 'float32'))
        throw new MoralscopeError('bad-file', `The training state's ${name} has ${data.length} numbers, expected ${length}.`);
      const [owner, part] = name.split('/');
      if (part === undefined) this.vector(name).set(data);
      else await this.shards[Number(owner.slice('shard.'.length))].crew.run({ kind: 'write', name, data });
    }
  }

  private async read(name: string): Promise<Float32Array | Int32Array> {
    const [owner, part] = name.split('/');
    if (part === undefined) return this.vector(name).slice();
    const { crew } = this.shards[Number(owner.slice('shard.'.length))];
    return (await crew.run({ kind: 'read', name })) as ShardTasks['read']['result'];
  }

  private vector(name: string): Float32Array {
    if (name === CENTRE) return this.centre.weight;
    return name === `${CENTRE}.mean` ? this.centre.mean : this.centre.square;
  }

  /** Runs one phase on every shard, no more of them at a time than there are threads. */
  private async all<Kind extends keyof ShardTasks>(
    kind: Kind,
    task: ShardTasks[Kind]['task'],
  ): Promise<ShardTasks[Kind]['result'][]> {
    const results: ShardTasks[Kind]['result'][] = [];
    const { threads } = this.config;
    for (let first = 0; first < this.shards.length; first += threads) {
      const wave = this.shards.slice(first, first + threads);
      const answers = await Promise.all(wave.map(({ crew }) => crew.run({ kind, ...task } as ShardTask)));
      results.push(...(answers as ShardTasks[Kind]['result'][]));
    }
    return results;
  }

  /** The running mean of the smallest active z of each batch, its bias toward the start corrected. */
  private threshold(): number {
    const { thresholdMean, thresholdBatches } = this.now;
    return thresholdBatches > 0 ? thresholdMean / (1 - this.config.thresholdDecay ** thresholdBatches) : 0;
  }
}

function notFinite(batch: Float32Array, dIn: number): MoralscopeError {
  const at = batch.findIndex((value) => !Number.isFinite(value));
  const where = at < 0 ? 'a value too large to square' : `${batch[at]} in state ${Math.floor(at / dIn)}, channel ${at % dIn}`;
  return new MoralscopeError('bad-data', `A training batch holds ${where}.`, 'Capture the activations again in fp32.');
}
