import { MoralscopeError } from '../errors.js';
import { exchangeBytes, latentRanges } from './exchange.js';
import { shardArrays } from './shard-arrays.js';
import type { TrainingConfig } from './training.js';
import { LARGEST_MEMORY, MemoryTally } from './wasm-kernel.js';

/** What onnxruntime and a worker thread take besides. */
const THREAD = 96 * 2 ** 20;

/** Parts that the latents are split into: one a thread, or as many more where a part would not fit one WebAssembly memory. */
export function shardsOf(config: TrainingConfig): number {
  const threads = Math.min(config.threads, config.width);
  let shards = threads;
  while (shards + threads <= config.width && shardBytes(config, shards) > LARGEST_MEMORY - 2 ** 20) shards += threads;
  return shards;
}

/** Bytes that training takes: weights, gradients and Adam's moments, and what a batch needs. */
export function trainingBytes(config: TrainingConfig, shards = shardsOf(config)): number {
  return shards * (shardBytes(config, shards) + THREAD) + exchangeBytes(config, shards);
}

/** The largest width, a multiple of 64, that fits into `bytes`; 0 if none does. */
export function largestWidth(config: TrainingConfig, bytes: number): number {
  let [fits, fails] = [0, 2 ** 15];
  const takes = (blocks: number) => trainingBytes({ ...config, width: 64 * blocks });
  while (fails - fits > 1) {
    const middle = (fits + fails) >> 1;
    if (takes(middle) <= bytes) fits = middle;
    else fails = middle;
  }
  return 64 * fits >= config.k ? 64 * fits : 0;
}

/**
 * Refuses what does not fit, before anything is allocated.
 * @param configs what is trained side by side
 * @throws MoralscopeError `misuse` that says how much is needed, how much there is and which width would fit
 */
export function requireMemory(configs: readonly TrainingConfig[]): void {
  const [{ dIn, batch, memory }] = configs;
  const needed = configs.reduce((sum, config) => sum + trainingBytes(config), 0);
  if (needed <= memory) return;
  const fits = configs.length === 1 ? largestWidth(configs[0], memory) : 0;
  const fix =
    fits > 0
      ? `Choose a width of at most ${fits}, or a smaller batch.`
      : `Choose ${configs.length > 1 ? 'fewer widths or k in one run, or ' : ''}a smaller batch.`;
  throw new MoralscopeError(
    'misuse',
    `Training ${configs.map(({ width }) => width).join(' and ')} latents of ${dIn} channels on batches of ${batch} takes ${gib(needed)}; there are ${gib(memory)}.`,
    fix,
  );
}

function shardBytes(config: TrainingConfig, shards: number): number {
  const tally = new MemoryTally();
  const { count } = latentRanges(config.width, shards).reduce((a, b) => (b.count > a.count ? b : a));
  const candidates = Array.from({ length: shards }, () => new Float32Array());
  shardArrays(tally, config, count, { candidates, aux: config.auxWeight > 0 ? { candidates } : undefined }, 0);
  return tally.bytes;
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(bytes < 2 ** 30 ? 2 : 1)} GiB`;
}
