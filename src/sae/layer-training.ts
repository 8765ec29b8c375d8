import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfCancelled } from '../errors.js';
import type { WorkOptions } from '../progress.js';
import type { SparseAutoencoder } from './architecture.js';
import type { DeckPosition } from './deck.js';
import type { MixedDeck } from './mixed-deck.js';
import type { StepMetrics, TrainingConfig } from './training.js';
import { TrainingCheckpoints } from './training-checkpoint.js';
import { requireMemory } from './training-memory.js';
import { type TrainingStart, TrainingStep } from './training-step.js';

/** An autoencoder of a run: its name, which is that of its folder, and how it is trained. */
export interface Variant {
  name: string;
  config: TrainingConfig;
}

export interface LayerTrainingOptions extends WorkOptions {
  directory: string;
  layer: number;
  variants: readonly Variant[];
  /** The layer's deck, from the start or from positions. */
  deck: (positions?: readonly DeckPosition[]) => Promise<MixedDeck>;
  /** Where b_dec begins, given states [n, hidden]. */
  centre: (states: Float32Array, hidden: number) => Float32Array;
  checkpointEvery: number;
}

export interface TrainedSae {
  variant: Variant;
  sae: SparseAutoencoder;
  /** Of the last step. */
  metrics: StepMetrics;
  /** States for measuring what was trained: those that come next, [n, hidden]. */
  next: Float32Array;
}

/** Steps between lines of metrics.jsonl. */
const LOG_EVERY = 10;
/** States that b_dec's start is the centre of, and that what was trained is measured on. */
const SAMPLE = 16_384;

/** Trains several autoencoders on the same states of one layer. */
export class LayerTraining {
  private readonly checkpoints: TrainingCheckpoints;
  private readonly running: { variant: Variant; step: TrainingStep; log: FileHandle; last?: StepMetrics }[] = [];
  private done = 0;
  private positions: DeckPosition[] = [];

  constructor(private readonly options: LayerTrainingOptions) {
    this.checkpoints = new TrainingCheckpoints(options.directory, `L${options.layer}`);
  }

  /**
   * Trains from the last checkpoint, or from the start, to the end; what is stopped leaves a checkpoint.
   * @throws MoralscopeError `cancelled`, `bad-data`, `disk`
   */
  async run(): Promise<TrainedSae[]> {
    const { variants, signal } = this.options;
    const { steps, batch } = variants[0].config;
    try {
      const deck = await this.begin();
      try {
        for (let epoch = deck.epoch; this.done < steps; ) {
          throwIfCancelled(signal);
          const states = await deck.deal(batch);
          for (const running of this.running) running.last = await running.step.step(states, batch);
          if (deck.epoch > epoch) for (const { step } of this.running) step.endEpoch();
          epoch = deck.epoch;
          this.done++;
          this.positions = deck.positions;
          await this.log(steps, batch);
          if (this.done % this.options.checkpointEvery === 0 || this.done === steps) await this.checkpoint();
        }
      } catch (error) {
        if (signal?.aborted && this.running.every(({ last }) => last)) await this.checkpoint();
        throw error;
      }
      const next = await deck.deal(SAMPLE);
      const trained: TrainedSae[] = [];
      for (const { variant, step, last } of this.running)
        trained.push({ variant, sae: await step.autoencoder(), metrics: last ?? (await this.lastMetrics(variant)), next });
      return trained;
    } finally {
      for (const { step, log } of this.running) {
        await step.close();
        await log.close();
      }
    }
  }

  /** Removes what only an unfinished layer needs. */
  clear(): Promise<void> {
    return this.checkpoints.clear();
  }

  private async begin(): Promise<MixedDeck> {
    const { directory, variants, deck, centre } = this.options;
    requireMemory(variants.map(({ config }) => config));
    const found = await this.checkpoints.read();
    let bDec: Float32Array | undefined;
    if (!found) {
      const first = await deck();
      bDec = centre(await first.deal(SAMPLE), first.hidden);
    }
    for (const variant of variants) {
      const before = found?.states[variant.name];
      const start: TrainingStart = before ? { state: before.state } : { bDec: bDec! };
      await mkdir(join(directory, variant.name), { recursive: true });
      const step = await TrainingStep.open(variant.config, start);
      const log = await open(join(directory, variant.name, 'metrics.jsonl'), 'a');
      this.running.push({ variant, step, log });
      await log.truncate(before?.metricsBytes ?? 0);
      await before?.close();
    }
    this.done = found?.step ?? 0;
    this.positions = found?.decks ?? [];
    return deck(found?.decks);
  }

  private async log(steps: number, batch: number): Promise<void> {
    const { layer, variants, onProgress } = this.options;
    for (const { log, last } of this.running)
      if (this.done % LOG_EVERY === 0 || this.done === steps) await log.appendFile(`${JSON.stringify(last)}\n`);
    const { fvu, l0, dead, aux } = this.running[0].last!;
    const others = variants.length > 1 ? ` (${variants[0].name})` : '';
    onProgress?.({
      task: `train layer ${layer}`,
      done: this.done * batch,
      total: steps * batch,
      unit: 'tokens',
      note: `step ${this.done}, FVU ${fvu.toFixed(4)}, L0 ${l0.toFixed(1)}, dead ${(100 * dead).toFixed(1)}%, aux ${aux.toFixed(3)}${others}`,
    });
  }

  private async checkpoint(): Promise<void> {
    const states: Record<string, { state: ReturnType<TrainingStep['state']>; metricsBytes: number }> = {};
    for (const { variant, step, log } of this.running) {
      await log.sync();
      states[variant.name] = { state: step.state(), metricsBytes: (await log.stat()).size };
    }
    await this.checkpoints.write(this.done, this.positions, states);
  }

  /** A run that was killed after its last step finds them in its log. */
  private async lastMetrics({ name }: Variant): Promise<StepMetrics> {
    const lines = await readLines(join(this.options.directory, name, 'metrics.jsonl'));
    return JSON.parse(lines.at(-1)!) as StepMetrics;
  }
}

async function readLines(path: string): Promise<string[]> {
  const file = await open(path);
  try {
    return (await file.readFile('utf8')).trimEnd().split('\n');
  } finally {
    await file.close();
  }
}
