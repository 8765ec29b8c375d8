import { DecoderSession } from '../model/decoder-session.js';
import { DecodingSession } from '../model/decoding-session.js';
import type { InterventionShape } from '../model/intervention.js';
import type { LanguageModel } from '../model/language-model.js';
import type { Precision } from '../model/precision.js';
import { comesBefore, formatSite, parseSite } from '../model/site.js';
import type { WorkOptions } from '../progress.js';

export interface TwoParts {
  /** Gives the states of the stream before the first intervention. */
  below: DecoderSession;
  /** Is given them, changes them, and gives the logits of last tokens; with a cache. */
  above: DecodingSession;
}

/** Opens a model for one list of interventions after another; one of them is in memory at a time. */
export class SteeredModel {
  constructor(
    readonly model: LanguageModel,
    private readonly options: WorkOptions & { precision: Precision; threads: number | undefined },
  ) {}

  /** In two parts: what leads up to the first intervention and is the same whatever they do, and what is above it. */
  async inTwo<T>(
    shapes: readonly InterventionShape[],
    logitTokens: readonly number[],
    use: (model: TwoParts) => Promise<T>,
  ): Promise<T> {
    const { precision, threads, onProgress, signal } = this.options;
    const work = { precision, onProgress, signal };
    const { layers } = this.model.spec;
    const [lowest] = shapes.map(({ site }) => parseSite(site, layers)).sort((a, b) => (comesBefore(a, b) ? -1 : 1));
    // What attention or an MLP gives is only a part of what the block hands on.
    const given = formatSite(lowest.point.startsWith('resid') ? lowest : { ...lowest, point: 'resid_pre' });
    const opened: { close(): Promise<void> }[] = [];
    try {
      const below = await DecoderSession.open(await this.model.compile({ sites: [given], ...work }), { threads });
      opened.push(below);
      const above = await DecodingSession.open(
        await this.model.compile({ sites: [], given, logits: 'last', logitTokens, cache: true, interventions: shapes, ...work }),
        { threads },
      );
      opened.push(above);
      return await use({ below, above });
    } finally {
      for (const session of opened) await session.close();
    }
  }

  /** Without a cache: the logits of all tokens, those of some at the last ones, or the states at some sites. */
  async whole<T>(
    shapes: readonly InterventionShape[],
    outputs: { logits: 'all' } | { logits: 'last'; logitTokens: readonly number[] } | { sites: readonly string[] },
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
