import type { DecodingSession } from '../decoding-session.js';
import { Lane } from './lane.js';
import type { GenerationUpdate } from './messages.js';
import type { Sequence } from './sequence.js';

/** Tokens of prompts that are read at once: fewer where other texts wait for their next token meanwhile. */
const PART = 1024;
const PART_BESIDE = 256;

export interface BatchingLimits {
  /** Texts at once. */
  sequences: number;
  /** Tokens of which keys and values are kept at once, each text counting as many as the longest may come to have. */
  tokens: number;
}

export interface BatchingReports {
  onUpdates: (updates: GenerationUpdate[]) => void;
  onFailure: (id: number, error: unknown) => void;
}

/**
 * Goes on with many texts at once: they join between two steps, in the order in which they came, when there is room, and leave when
 * they end.
 */
export class ContinuousBatching {
  private waiting: Sequence[] = [];
  private readonly lane: Lane;
  private work: Promise<void> | undefined;

  constructor(
    session: DecodingSession,
    private readonly limits: BatchingLimits,
    private readonly reports: BatchingReports,
  ) {
    this.lane = new Lane(session);
  }

  add(sequences: readonly Sequence[]): void {
    this.waiting.push(...sequences);
    this.work ??= this.run().finally(() => {
      this.work = undefined;
    });
  }

  cancel(id: number): void {
    this.all()
      .find((sequence) => sequence.id === id)
      ?.finish('cancelled');
  }

  /** Ends all texts, and waits until nothing runs. */
  async stop(): Promise<void> {
    for (const sequence of this.all()) sequence.finish('cancelled');
    await this.work;
  }

  private all(): Sequence[] {
    return [...this.waiting, ...this.lane.sequences];
  }

  private async run(): Promise<void> {
    while (this.all().length > 0) {
      this.admit();
      const begun = this.lane.sequences;
      try {
        await this.lane.advance(this.lane.isRunning ? PART_BESIDE : PART);
      } catch (error) {
        for (const sequence of begun) sequence.failure ??= error;
        this.lane.clear();
      }
      this.report(begun);
    }
  }

  private admit(): void {
    const cancelled = this.waiting.filter(({ ended }) => ended);
    this.waiting = this.waiting.filter(({ ended }) => !ended);
    this.report(cancelled);
    if (this.lane.isReading) return;
    const there = this.lane.sequences;
    const joining: Sequence[] = [];
    while (this.waiting.length > 0 && this.hasRoom([...there, ...joining, this.waiting[0]])) joining.push(this.waiting.shift()!);
    if (joining.length > 0) this.lane.begin(joining);
  }

  /** One text always has. */
  private hasRoom(sequences: readonly Sequence[]): boolean {
    const { sequences: most, tokens } = this.limits;
    const longest = Math.max(...sequences.map(({ reserved }) => reserved));
    return sequences.length === 1 || (sequences.length <= most && sequences.length * longest <= tokens);
  }

  private report(sequences: readonly Sequence[]): void {
    const updates: GenerationUpdate[] = [];
    for (const sequence of sequences) {
      if (sequence.failure !== undefined) {
        this.reports.onFailure(sequence.id, sequence.failure);
        continue;
      }
      const news = sequence.news();
      if (news) updates.push(news);
    }
    if (updates.length > 0) this.reports.onUpdates(updates);
  }
}
