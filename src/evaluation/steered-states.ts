import { setImmediate as breathe } from 'node:timers/promises';
import { BATCH_ROWS, byBeginning, cutIntoBatches, padBatch, type TokenisedTexts } from '../activations/batches.js';
import { poolStates } from '../activations/pooling.js';
import type { States } from '../diagnosis/states.js';
import { throwIfCancelled } from '../errors.js';
import type { DecoderStates } from '../model/decoder-runner.js';
import type { Steering } from '../model/steering.js';
import type { TokenBatch } from '../model/token-rows.js';
import type { SteeredSession } from './steered-sessions.js';

/** The poolings that are diagnosed again. */
export const REDIAGNOSED = ['last', 'content'] as const;
export type RediagnosedPooling = (typeof REDIAGNOSED)[number];

interface OpenedBatch {
  texts: Int32Array;
  batch: TokenBatch;
  run: (steering?: Steering) => Promise<DecoderStates>;
}

/** Texts that a steered model reads under one steering after another. */
export class SteeredTexts {
  private constructor(
    private readonly session: SteeredSession,
    private readonly batches: readonly OpenedBatch[],
    private readonly texts: number,
    private readonly thresholds: readonly number[],
    private readonly signal: AbortSignal | undefined,
  ) {}

  /**
   * @param session with the interventions' shapes and taps
   * @param thresholds sink threshold of each tap
   */
  static async open(
    session: SteeredSession,
    tokens: TokenisedTexts,
    thresholds: readonly number[],
    signal?: AbortSignal,
  ): Promise<SteeredTexts> {
    const n = tokens.offsets.length - 1;
    const order = byBeginning(tokens);
    const batches: OpenedBatch[] = [];
    for (const texts of cutIntoBatches(tokens, order, BATCH_ROWS)) {
      await breathe();
      throwIfCancelled(signal);
      const batch = padBatch(tokens, texts);
      batches.push({ texts, batch, run: await session.runs(batch) });
    }
    return new SteeredTexts(session, batches, n, thresholds, signal);
  }

  /** Pooled states of every text at every tap. */
  async states(steering: Steering | undefined): Promise<Record<RediagnosedPooling, States>[]> {
    const { session, batches, texts: n, thresholds, signal } = this;
    const { hidden, sites } = session.compiled;
    const none = (): States => ({ n, d: hidden, data: new Float32Array(n * hidden) });
    const found = sites.map(() => ({ last: none(), content: none() }));
    for (const { texts, batch, run } of batches) {
      await breathe();
      throwIfCancelled(signal);
      const { residuals, place } = await run(steering);
      for (const [site, states] of residuals.entries()) {
        const ofBatch = { states, place, lengths: batch.lengths, padded: batch.length, hidden };
        const { pooled } = poolStates(ofBatch, thresholds[site], REDIAGNOSED);
        for (const pooling of REDIAGNOSED)
          texts.forEach((text, i) => {
            found[site][pooling].data.set(pooled[pooling]!.subarray(i * hidden, (i + 1) * hidden), text * hidden);
          });
      }
    }
    return found;
  }
}
