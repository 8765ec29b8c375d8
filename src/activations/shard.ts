import { stat } from 'node:fs/promises';
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../checkpoint/safetensors.js';
import { MoralscopeError } from '../errors.js';
import type { SiteStates } from './capture-thread.js';
import type { Pooling } from './pooling.js';

/** What every row of a shard holds. */
export interface ShardLayout {
  /** Names of the sites, `blocks.{L}.hook_resid_post` and the like. */
  sites: readonly string[];
  poolings: readonly Pooling[];
  /** Whether every token's state is kept. */
  tokens: boolean;
  hidden: number;
}

/** Bytes that the states of a text of that many tokens take in a shard. */
export function rowBytes({ sites, poolings, tokens, hidden }: ShardLayout, length: number): number {
  return 4 * sites.length * (hidden * (poolings.length + (tokens ? length : 0)) + 2);
}

/** One shard while it is filled, in memory as it will lie on disk. */
export class ShardBuffer {
  private readonly tensors: Record<string, SafetensorsTensor & { data: Float32Array }> = {};
  private filled = 0;
  private filledTokens = 0;
  private filledLogProbs = 0;

  /**
   * @param rows the rows it will hold, in the order in which they come
   * @param lengths their token counts
   */
  constructor(
    readonly path: string,
    private readonly layout: ShardLayout,
    private readonly rows: Int32Array,
    private readonly lengths: Int32Array<ArrayBuffer>,
  ) {
    const n = rows.length;
    const f32 = (name: string, ...shape: [number, number]) => {
      this.tensors[name] = { dtype: 'F32', shape, data: new Float32Array(shape[0] * shape[1]) };
    };
    for (const site of layout.sites) {
      for (const pooling of layout.poolings) f32(`${site}/${pooling}`, n, layout.hidden);
      if (layout.tokens) f32(`${site}/tokens`, sum(lengths), layout.hidden);
      f32(`${site}/norms`, n, 2);
    }
  }

  get whole(): boolean {
    return this.filled === this.rows.length;
  }

  /** Takes the next `count` rows. */
  add(count: number, sites: readonly SiteStates[]): void {
    const { hidden } = this.layout;
    this.layout.sites.forEach((site, i) => {
      const { pooled, norms, tokens } = sites[i];
      for (const [pooling, states] of Object.entries(pooled))
        this.tensors[`${site}/${pooling}`].data.set(states, this.filled * hidden);
      if (tokens) this.tensors[`${site}/tokens`].data.set(tokens, this.filledTokens * hidden);
      this.tensors[`${site}/norms`].data.set(norms, this.filled * 2);
    });
    this.filledTokens += sum(this.lengths.subarray(this.filled, this.filled + count));
    this.filled += count;
  }

  /** Takes the log-probabilities of the next rows, `width` of them a row. */
  addLogProbs(width: number, logProbs: Float32Array): void {
    const n = this.rows.length;
    this.tensors['readout/log_probs'] ??= { dtype: 'F32', shape: [n, width], data: new Float32Array(n * width) };
    this.tensors['readout/log_probs'].data.set(logProbs, this.filledLogProbs);
    this.filledLogProbs += logProbs.length;
  }

  /** Writes the whole shard, or nothing; returns its size in bytes. */
  async write(): Promise<number> {
    const n = this.rows.length;
    const tensors: Record<string, SafetensorsTensor> = {
      ...this.tensors,
      row: { dtype: 'I64', shape: [n], data: BigInt64Array.from(this.rows, BigInt) },
      tokens: { dtype: 'I32', shape: [n], data: this.lengths },
    };
    if (this.layout.tokens) {
      const offsets = new BigInt64Array(n + 1);
      this.lengths.forEach((length, i) => {
        offsets[i + 1] = offsets[i] + BigInt(length);
      });
      tensors.offsets = { dtype: 'I64', shape: [n + 1], data: offsets };
    }
    await writeSafetensors(this.path, tensors);
    return (await stat(this.path)).size;
  }
}

/** Size of the shard an earlier run left behind, if it holds exactly these rows; undefined where there is none. */
export async function sizeOfShard(path: string, rows: Int32Array): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return undefined;
  const file = await openSafetensors(path);
  try {
    const stored = await file.read('row');
    if (stored.length === rows.length && stored.every((row, i) => row === rows[i])) return found.size;
    throw new MoralscopeError('bad-file', `${path} holds other rows than it should.`, 'Remove the directory and capture again.');
  } finally {
    await file.close();
  }
}

function sum(values: Int32Array): number {
  return values.reduce((a, b) => a + b, 0);
}
