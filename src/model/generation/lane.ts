import type { DecoderCache } from '../decoder-cache.js';
import type { DecodingSession } from '../decoding-session.js';
import type { Intervention } from '../intervention.js';
import { Prefill, steeringOf } from './prefill.js';
import type { Sequence } from './sequence.js';

/**
 * Sequences under the same interventions. Those whose prompts are read go on together, a token each in every step, while others'
 * prompts are read.
 */
export class Lane {
  private running: Sequence[] = [];
  private prefill: Prefill | undefined;
  private cache: DecoderCache;

  constructor(
    private readonly session: DecodingSession,
    private readonly interventions: readonly Intervention[] | undefined,
  ) {
    this.cache = session.cache();
  }

  get sequences(): readonly Sequence[] {
    return [...this.running, ...(this.prefill?.sequences ?? [])];
  }

  /** Whether prompts are being read: others wait until they are. */
  get isReading(): boolean {
    return this.prefill !== undefined;
  }

  get isRunning(): boolean {
    return this.running.length > 0;
  }

  begin(sequences: readonly Sequence[]): void {
    this.prefill = new Prefill(this.session, sequences, this.interventions);
  }

  /** Reads a part of the prompts, of at most so many tokens, then one token of each that goes on. */
  async advance(tokens: number): Promise<void> {
    this.sweep();
    if (this.prefill) {
      const ready = (await this.prefill.next(tokens)).filter(({ sequence }) => !sequence.ended);
      if (ready.length > 0) this.cache.join(ready);
      this.running.push(...ready.map(({ sequence }) => sequence));
      if (this.prefill.sequences.length === 0) this.prefill = undefined;
    }
    if (this.running.length === 0) return;
    const ids = Int32Array.from(this.running, ({ unread }) => unread);
    const { logits } = await this.session.step(this.cache, ids, steeringOf(this.running, this.interventions));
    const { vocabulary } = this.session.compiled;
    for (const [row, sequence] of this.running.entries())
      sequence.take(logits!.subarray(row * vocabulary, (row + 1) * vocabulary));
    this.sweep();
  }

  /** Lets go of all. */
  clear(): void {
    this.running = [];
    this.prefill = undefined;
    this.cache = this.session.cache();
  }

  private sweep(): void {
    this.prefill?.keep(({ ended }) => !ended);
    if (this.prefill?.sequences.length === 0) this.prefill = undefined;
    for (let row = this.running.length - 1; row >= 0; row--) {
      if (!this.running[row].ended) continue;
      this.cache.drop(row);
      const last = this.running.pop()!;
      if (row < this.running.length) this.running[row] = last;
    }
    if (this.running.length === 0 && this.cache.texts === 0) this.cache = this.session.cache();
  }
}
