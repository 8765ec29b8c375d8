import { readdir, readFile, rm } from 'node:fs/promises';
import type { ArtifactDirectory } from '../artifact/directory.js';
import { isTemporary, writeFileAtomic } from '../artifact/files.js';
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import { throwIfCancelled } from '../errors.js';
import type { Site } from '../model/site.js';
import type { WorkOptions } from '../progress.js';
import { padBatch } from './batches.js';
import { calibrateSinks, chooseReadoutTokens } from './calibration.js';
import type { CaptureReply, CaptureThread } from './capture-thread.js';
import { type ActivationDetails, Calibration, type ReadoutTokens, type SinkCalibration } from './details.js';
import { ShardBuffer, sizeOfShard } from './shard.js';
import type { PlannedShard, ShardPlan } from './shard-plan.js';
import type { SinkCache } from './sink-cache.js';

/** The thread answers in order: while it runs one batch the next lies ready. */
const UNDER_WAY = 2;
const CALIBRATION = 'calibration.json';

export interface WrittenShard {
  path: string;
  /** The first is 0. */
  index: number;
  /** Number of shards of the whole capture, of its texts and tokens. */
  of: number;
  texts: number;
  tokens: number;
}

export interface CaptureRunOptions extends WorkOptions {
  sites: readonly Site[];
  tokenizer: Tokenizer;
  template: string;
  sinkCache: SinkCache;
  onShard?: ((shard: WrittenShard) => void) | undefined;
}

type States = Extract<CaptureReply, { kind: 'states' }>;
type Filled = Pick<ActivationDetails, 'shards' | 'calibration' | 'readout' | 'computed' | 'work'>;

/** Fills the shards of a plan that an unfinished directory does not hold yet. */
export class CaptureRun {
  private readonly sizes = new Map<PlannedShard, number>();
  private readonly work = { opening: 0, forward: 0, pooling: 0, readout: 0, writing: 0 };
  private computed = 0;
  private writing: Promise<void> = Promise.resolve();
  private rowsDone = 0;

  constructor(
    private readonly thread: CaptureThread,
    private readonly directory: ArtifactDirectory,
    private readonly plan: ShardPlan,
    private readonly options: CaptureRunOptions,
  ) {}

  /** @throws MoralscopeError `disk`, `cancelled`, `bad-data`; nothing is being written any more when it returns or throws. */
  async fill(): Promise<Filled> {
    try {
      return await this.fillAll();
    } finally {
      await this.writing.catch(() => {});
    }
  }

  private async fillAll(): Promise<Filled> {
    const { plan } = this;
    await this.removeHalfWritten();
    const known = await this.readCalibration();
    const sampled = plan.sample > 0;
    for (const shard of plan.shards.slice(sampled && !known ? 1 : 0)) {
      const size = await sizeOfShard(this.directory.file(shard.file), shard.rows);
      if (size === undefined) continue;
      this.done(shard, size);
      this.rowsDone += shard.rows.length;
    }
    this.report();
    const sinks = known?.sinks ?? (await this.calibrate());
    const readout = known?.readout ?? (sampled ? await this.fillSample(sinks) : null);
    if (!known && !readout) await this.keepCalibration({ sinks, readout });
    await this.writing; // the sample's shard is done, not left
    const left = plan.shards.filter((shard) => !this.sizes.has(shard));
    const listed = readout ? Int32Array.from(readout.tokenIds) : undefined;
    await this.fillShards(left, sinks, listed, (shard, buffer) => this.write(shard, buffer));
    await this.writing;
    const seconds = (ms: number) => Math.round(ms) / 1000;
    const { opening, forward, pooling, readout: reading, writing } = this.work;
    return {
      shards: plan.shards.map((shard) => ({ file: shard.file, rows: shard.rows.length, bytes: this.sizes.get(shard)! })),
      calibration: sinks,
      readout,
      computed: this.computed,
      work: {
        opening: seconds(opening),
        forward: seconds(forward),
        pooling: seconds(pooling),
        readout: seconds(reading),
        writing: seconds(writing),
      },
    };
  }

  private async calibrate(): Promise<SinkCalibration[]> {
    const { thread, plan, options } = this;
    const { sites, tokenizer, sinkCache } = options;
    const before = await sinkCache.read(sites);
    if (before) return before;
    const sinks = await calibrateSinks(thread, sites, tokenizer, plan.rowsPerBatch);
    await sinkCache.keep(sites, sinks);
    return sinks;
  }

  /** Fills the first shard, whose texts choose the readout's tokens: their logits are held until the choice is made. */
  private async fillSample(sinks: SinkCalibration[]): Promise<ReadoutTokens> {
    const { thread, plan, options } = this;
    let readout!: ReadoutTokens;
    await this.fillShards(plan.shards.slice(0, 1), sinks, 'hold', async (shard, buffer) => {
      const { mean } = await thread.request<'probabilities'>({ kind: 'probabilities' });
      readout = chooseReadoutTokens(options.tokenizer, options.template, mean, plan.sample);
      const tokenIds = Int32Array.from(readout.tokenIds);
      const { logProbs } = await thread.request<'held'>({ kind: 'held', tokenIds });
      for (const part of logProbs) buffer.addLogProbs(tokenIds.length, part);
      await this.keepCalibration({ sinks, readout });
      await this.write(shard, buffer);
    });
    return readout;
  }

  private async fillShards(
    shards: readonly PlannedShard[],
    sinks: readonly SinkCalibration[],
    readout: Int32Array | 'hold' | undefined,
    whenFull: (shard: PlannedShard, buffer: ShardBuffer) => Promise<void>,
  ): Promise<void> {
    const { plan, thread } = this;
    const { tokens, poolings } = plan.layout;
    const thresholds = Float64Array.from(sinks, (sink) => sink.threshold);
    const underWay: (() => Promise<void>)[] = [];
    for (const shard of shards) {
      let buffer: ShardBuffer | undefined;
      for (const batch of shard.batches) {
        throwIfCancelled(this.options.signal);
        const reply = thread.request<'states'>({
          kind: 'states',
          batch: padBatch(plan.tokens, batch),
          thresholds,
          poolings,
          tokens,
          readout,
        });
        // A reply that is never waited for, because an earlier one failed, must not count as an unhandled failure.
        reply.catch(() => {});
        underWay.push(async () => {
          const states = await reply;
          buffer ??= this.bufferOf(shard);
          this.take(buffer, batch.length, states, readout);
          if (buffer.whole) await whenFull(shard, buffer);
        });
        if (underWay.length === UNDER_WAY) await underWay.shift()!();
      }
    }
    for (const finish of underWay) await finish();
  }

  private bufferOf({ file, rows }: PlannedShard): ShardBuffer {
    const { tokens, layout } = this.plan;
    const lengths = Int32Array.from(rows, (row) => tokens.offsets[row + 1] - tokens.offsets[row]);
    return new ShardBuffer(this.directory.file(file), layout, rows, lengths);
  }

  private take(
    buffer: ShardBuffer,
    rows: number,
    { sites, logProbs, rows: computed, milliseconds }: States,
    readout: unknown,
  ): void {
    buffer.add(rows, sites);
    if (logProbs) buffer.addLogProbs((readout as Int32Array).length, logProbs);
    for (const kind of ['opening', 'forward', 'pooling', 'readout'] as const) this.work[kind] += milliseconds[kind];
    this.computed += computed;
    this.rowsDone += rows;
    this.report();
  }

  /** Writes beside the next batches; at most one full shard waits, so that memory holds no more than two. */
  private async write(shard: PlannedShard, buffer: ShardBuffer): Promise<void> {
    await this.writing;
    this.writing = (async () => {
      const started = performance.now();
      this.done(shard, await buffer.write());
      this.work.writing += performance.now() - started;
    })();
    this.writing.catch(() => {});
  }

  private done(shard: PlannedShard, bytes: number): void {
    const { plan, directory, options } = this;
    this.sizes.set(shard, bytes);
    options.onShard?.({
      path: directory.file(shard.file),
      index: plan.shards.indexOf(shard),
      of: plan.shards.length,
      texts: plan.tokens.offsets.length - 1,
      tokens: plan.tokens.ids.length,
    });
  }

  /** What a killed process was writing; nobody else works on the directory now. */
  private async removeHalfWritten(): Promise<void> {
    for (const name of await readdir(this.directory.path))
      if (isTemporary(name)) await rm(this.directory.file(name), { force: true });
  }

  /** Undefined where there is none that can be used: it is then measured again, to the same numbers. */
  private async readCalibration(): Promise<Calibration | undefined> {
    try {
      return Calibration.parse(JSON.parse(await readFile(this.directory.file(CALIBRATION), 'utf8')));
    } catch {
      return undefined;
    }
  }

  private keepCalibration(calibration: Calibration): Promise<void> {
    return writeFileAtomic(this.directory.file(CALIBRATION), JSON.stringify(calibration));
  }

  private report(): void {
    const total = this.plan.tokens.offsets.length - 1;
    this.options.onProgress?.({ task: 'capture', done: this.rowsDone, total, unit: 'texts' });
  }
}
