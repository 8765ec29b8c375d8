import { DecoderSession } from '../model/decoder-session.js';
import { DecodingSession } from '../model/decoding-session.js';
import type { InterventionShape } from '../model/intervention.js';
import type { LanguageModel } from '../model/language-model.js';
import type { Precision } from '../model/precision.js';
import type { WorkOptions } from '../progress.js';

/** Opens a model for one list of interventions after another; one session is in memory at a time. */
export class SteeredModel {
  constructor(
    readonly model: LanguageModel,
    private readonly options: WorkOptions & { precision: Precision; threads: number | undefined },
  ) {}

  /** With a cache and the logits of last tokens. */
  async decoding<T>(shapes: readonly InterventionShape[], use: (session: DecodingSession) => Promise<T>): Promise<T> {
    const { precision, threads, onProgress, signal } = this.options;
    const compiled = await this.model.compile({
      sites: [],
      logits: 'last',
      cache: true,
      interventions: shapes,
      precision,
      onProgress,
      signal,
    });
    const session = await DecodingSession.open(compiled, { threads });
    try {
      return await use(session);
    } finally {
      await session.close();
    }
  }

  /** Without a cache: the logits of all tokens, or the states at some sites. */
  async whole<T>(
    shapes: readonly InterventionShape[],
    outputs: { logits: 'all' } | { sites: readonly string[] },
    use: (session: DecoderSession) => Promise<T>,
  ): Promise<T> {
    const { precision, threads, onProgress, signal } = this.options;
    const compiled = await this.model.compile({ sites: [], ...outputs, interventions: shapes, precision, onProgress, signal });
    const session = await DecoderSession.open(compiled, { threads });
    try {
      return await use(session);
    } finally {
      await session.close();
    }
  }
}
