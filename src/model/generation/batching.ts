import type { DecodingSession } from '../decoding-session.js';
import type { Intervention } from '../intervention.js';
import type { Arms } from './arms.js';
import { Lane } from './lane.js';
import type { GenerationUpdate } from './messages.js';
import type { Sequence } from './sequence.js';

export interface BatchingLimits {
  /** Texts at once. */
  sequences: number;
  /** Tokens of which keys and values are kept at once, each text counting as many as the longest may come to have. */
  tokens: number;
  /** Tokens of prompts that are read in one run; a quarter where other texts wait for their next token meanwhile. */
  part: number;
}

export interface BatchingReports {
  onUpdates: (updates: GenerationUpdate[]) => void;
  onFailure: (id: number, error: unknown) => void;
}

/**
 * Goes on with many texts at once: they join between two steps, in the order in which they came, when there is room, and leave when
 * they end. Texts of different arms have lanes of their own, which take turns.
 */
export class ContinuousBatching {
  private waiting: Sequence[] = [];
  /** By arm; undefined: none. */
  private readonly lanes = new Map<string | undefined, Lane>();
  private work: Promise<void> | undefined;

  constructor(
    private readonly session: DecodingSession,
    private arms: Arms,
    private readonly limits: BatchingLimits,
    private readonly reports: BatchingReports,
  ) {}

  add(sequences: readonly Sequence[]): void {
    this.waiting.push(...sequences);
    this.work ??= this.run().finally(() => {
      this.work = undefined;
    });
  }

  addArm(name: string, interventions: readonly Intervention[]): void {
    this.arms = { ...this.arms, [name]: interventions };
  }

  cancel(id: number): void {
    const sequence = [...this.waiting, ...this.begun()].find((one) => one.id === id);
    sequence?.finish('cancelled');
  }

  /** Ends all texts, and waits until nothing runs. */
  async stop(): Promise<void> {
    for (const sequence of [...this.waiting, ...this.begun()]) sequence.finish('cancelled');
    await this.work;
  }

  private begun(): Sequence[] {
    return [...this.lanes.values()].flatMap(({ sequences }) => sequences);
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0 || this.lanes.size > 0) {
      this.admit();
      const others = [...this.lanes.values()].some(({ isRunning }) => isRunning);
      const part = others ? Math.ceil(this.limits.part / 4) : this.limits.part;
      for (const [arm, lane] of this.lanes) {
        await this.advance(lane, part);
        if (lane.sequences.length === 0) this.lanes.delete(arm);
      }
    }
  }

  private async advance(lane: Lane, part: number): Promise<void> {
    const begun = lane.sequences;
    try {
      await lane.advance(part);
    } catch (error) {
      for (const sequence of begun) sequence.failure ??= error;
      lane.clear();
    }
    this.report(begun);
  }

  private admit(): void {
    this.report(this.waiting);
    this.waiting = this.waiting.filter(({ ended }) => !ended);
    const there = this.begun();
    const joining = new Map<string | undefined, Sequence[]>();
    for (const sequence of this.waiting) {
      const { arm } = sequence.options;
      if (this.lanes.get(arm)?.isReading) continue;
      if (!this.hasRoom([...there, sequence])) break;
      there.push(sequence);
      joining.set(arm, [...(joining.get(arm) ?? []), sequence]);
    }
    this.waiting = this.waiting.filter((sequence) => !there.includes(sequence));
    for (const [arm, sequences] of joining) {
      const lane = this.lanes.get(arm) ?? new Lane(this.session, arm === undefined ? undefined : this.arms[arm]);
      this.lanes.set(arm, lane);
      lane.begin(sequences);
    }
  }

  /** One text always has. */
  private hasRoom(sequences: readonly Sequence[]): boolean {
    let tokens = 0;
    for (const arm of new Set(sequences.map(({ options }) => options.arm))) {
      const together = sequences.filter(({ options }) => options.arm === arm);
      tokens += together.length * Math.max(...together.map(({ reserved }) => reserved));
    }
    return sequences.length === 1 || (sequences.length <= this.limits.sequences && tokens <= this.limits.tokens);
  }

  private report(sequences: readonly Sequence[]): void {
    const updates: GenerationUpdate[] = [];
    for (const sequence of sequences) {
      if (sequence.failure !== undefined) this.reports.onFailure(sequence.id, sequence.failure);
      else updates.push(...sequence.news());
    }
    if (updates.length > 0) this.reports.onUpdates(updates);
  }
}
