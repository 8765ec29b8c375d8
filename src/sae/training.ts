import { availableParallelism } from 'node:os';
import { MoralscopeError } from '../errors.js';

/** How a sparse autoencoder is trained. Figures that are left out take the value that their comment names. */
export interface TrainingOptions {
  architecture: 'relu' | 'topk' | 'batchtopk';
  /** Length of a state. */
  dIn: number;
  /** Number of latents. */
  width: number;
  /** Active latents of a token; for `relu` the L0 that lambda is led to. Default: 32; `relu`: 100. */
  k?: number | undefined;
  /** The most tokens a step may be given. */
  batch: number;
  /** Steps of the whole run, for warm-up and decay. */
  steps: number;
  seed?: number | undefined;
  /** Peak learning rate. Default: `defaultLearningRate`. */
  learningRate?: number | undefined;
  /** Steps of linear warm-up. Default: a twentieth of the run, at most 1000. */
  warmup?: number | undefined;
  /** Steps of linear decay to zero at the end. Default: a fifth of the run. */
  decay?: number | undefined;
  /** Adam's decay of the mean and of the square, and what is added to the root. Default: .9, .999, 6.25e-10. */
  beta1?: number | undefined;
  beta2?: number | undefined;
  epsilon?: number | undefined;
  /** Largest norm of the whole gradient. Default: 1. */
  clip?: number | undefined;
  /** Weight of AuxK; 0 switches it off. Default: 1/32; `relu`: 0. */
  auxWeight?: number | undefined;
  /** Dead latents that each token may use in AuxK. Default: dIn / 2. */
  auxK?: number | undefined;
  /** A latent is dead that was silent for so many tokens. Default: 10 million, or a tenth of the run if that is less. */
  deadAfterTokens?: number | undefined;
  /** Weight of mean |z| at the start, adapted at the end of every epoch: `relu`. Default: 1. */
  lambda?: number | undefined;
  /** Decay of the running mean of each batch's smallest active z, the threshold of `batchtopk`. Default: .99. */
  thresholdDecay?: number | undefined;
  /** Worker threads. Default: as many as the machine has cores. */
  threads?: number | undefined;
  /** Bytes that training may take. Default: what the machine has left. */
  memory?: number | undefined;
}

/** The options with every figure filled in. */
export type TrainingConfig = { [name in keyof TrainingOptions]-?: NonNullable<TrainingOptions[name]> };

/** What one step did. Sums in fp64, over the batch before the step. */
export interface StepMetrics {
  /** Steps done, this one included. */
  step: number;
  /** Tokens seen, this batch included. */
  tokens: number;
  /** What was minimised: FVU + auxWeight aux, or for `relu` MSE + lambda l1. */
  loss: number;
  /** sum ||x - x^||^2 / sum ||x - mean||^2. */
  fvu: number;
  /** Mean of (x - x^)^2 over tokens and channels. */
  mse: number;
  /** Mean number of z > 0. */
  l0: number;
  /** Mean of |z| over tokens and latents. */
  l1: number;
  /** Share of latents that were dead before the step. */
  dead: number;
  /** sum ||e - e^||^2 / sum ||e - mean e||^2 of AuxK; 0 where no latent was dead. */
  aux: number;
  /** Norm of the gradient before clipping. */
  gradientNorm: number;
  learningRate: number;
  lambda: number;
  /** Running threshold of `batchtopk`; 0 for the others. */
  threshold: number;
}

/** The part of a run's state that is no tensor; JSON keeps it bit for bit. */
export interface TrainingProgress {
  step: number;
  tokens: number;
  lambda: number;
  /** Sum of L0 and number of tokens since the epoch began. */
  epochL0: number;
  epochTokens: number;
  /** Running mean of the threshold before its bias is corrected, and how many batches it has seen. */
  thresholdMean: number;
  thresholdBatches: number;
  /** Parts that the latents are split into. Sums depend on it in the last bit, so a run keeps it. */
  shards: number;
}

/**
 * All that a run needs to go on bit for bit, tensor by tensor, so that no more than one must be in memory besides the run.
 * Each part ("shard") of the latents has tensors of its own.
 */
export interface TrainingState {
  readonly progress: TrainingProgress;
  readonly tensors: readonly StateTensor[];
  read(name: string): Promise<Float32Array | Int32Array>;
}

export interface StateTensor {
  readonly name: string;
  readonly type: 'float32' | 'int32';
  readonly shape: readonly number[];
}

/** 2e-4 / sqrt(width / 2^14), which Gao et al. found for very long runs. */
export function publishedLearningRate(width: number): number {
  return 2e-4 / Math.sqrt(width / 2 ** 14);
}

/** Steps of a run from which on the published learning rate is the best one, and how far it is raised at most. */
const [LONG_RUN, MOST_RAISED] = [55_000, 12];

/**
 * The published rate. A short run of topk or batchtopk ends long before its latents have come where they were going at it: there it is
 * raised by sqrt(55,000 / steps), at most 12 times (docs/performance.md has the figures).
 */
export function defaultLearningRate({
  architecture,
  width,
  steps,
}: Pick<TrainingOptions, 'architecture' | 'width' | 'steps'>): number {
  const published = publishedLearningRate(width);
  if (architecture === 'relu') return published;
  return published * Math.min(MOST_RAISED, Math.max(1, Math.sqrt(LONG_RUN / steps)));
}

/**
 * Fills in what is left out.
 * @throws MoralscopeError `misuse` for a figure that makes no sense, naming it
 */
export function trainingConfig(options: TrainingOptions): TrainingConfig {
  const { architecture, dIn, width, batch, steps } = options;
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const config: TrainingConfig = {
    k: architecture === 'relu' ? 100 : 32,
    seed: 1,
    learningRate: defaultLearningRate(options),
    warmup: Math.min(1000, Math.floor(steps / 20)),
    decay: Math.floor(steps / 5),
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 6.25e-10,
    clip: 1,
    auxWeight: architecture === 'relu' ? 0 : 1 / 32,
    auxK: Math.max(1, Math.floor(dIn / 2)),
    deadAfterTokens: Math.max(1, Math.min(10_000_000, Math.floor((steps * batch) / 10))),
    lambda: 1,
    thresholdDecay: 0.99,
    threads: availableParallelism(),
    memory: process.availableMemory(),
    ...(given as unknown as TrainingOptions),
  } as TrainingConfig;
  const refuse = (what: string, fix: string): never => {
    throw new MoralscopeError('misuse', `Training a sparse autoencoder: ${what}.`, fix);
  };
  for (const name of ['dIn', 'width', 'k', 'batch', 'steps', 'auxK', 'threads'] as const)
    if (!Number.isInteger(config[name]) || config[name] < 1)
      refuse(`${name} is ${config[name]}`, `Give ${name} as a whole number of at least 1.`);
  for (const [name, value] of Object.entries(config))
    if (typeof value === 'number' && !(value >= 0))
      refuse(`${name} is ${value}`, `Give ${name} as a number that is not negative.`);
  if (config.k > width)
    refuse(`k is ${config.k}, more than the ${width} latents`, `Give a width of at least ${config.k}, or a smaller k.`);
  for (const name of ['beta1', 'beta2', 'thresholdDecay'] as const)
    if (config[name] >= 1) refuse(`${name} is ${config[name]}`, `Give ${name} below 1.`);
  return config;
}

/** The learning rate of step 1, 2, ..., steps: linear warm-up, level, linear decay to zero after the last step. */
export function learningRate({ learningRate: peak, warmup, decay, steps }: TrainingConfig, step: number): number {
  const up = step <= warmup ? step / warmup : 1;
  const down = decay > 0 ? Math.min(1, (steps + 1 - step) / (decay + 1)) : 1;
  return peak * Math.max(0, Math.min(up, down));
}

/** Lambda after an epoch of this mean L0: strongly up, gently up or down toward the target (paper, section 5). */
export function adaptedLambda(lambda: number, l0: number, target: number): number {
  if (l0 > 2 * target) return lambda * 1.2;
  if (l0 > 1.1 * target) return lambda * 1.05;
  if (l0 < 0.9 * target) return lambda * 0.95;
  return lambda;
}
