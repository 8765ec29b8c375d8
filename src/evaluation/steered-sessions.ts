import type { CompileOptions } from '../model/compile.js';
import type { CompiledDecoder } from '../model/compiled-decoder.js';
import type { DecoderStates } from '../model/decoder-runner.js';
import { DecoderSession } from '../model/decoder-session.js';
import { DecodingSession } from '../model/decoding-session.js';
import type { InterventionShape } from '../model/intervention.js';
import type { LanguageModel } from '../model/language-model.js';
import type { Precision } from '../model/precision.js';
import { comesBefore, formatSite, parseSite } from '../model/site.js';
import type { Steering } from '../model/steering.js';
import type { TokenBatch } from '../model/token-rows.js';
import type { WorkOptions } from '../progress.js';

/** What leads up to the first intervention and is the same whatever they do, and what is above it. */
export interface TwoParts {
  /** Gives the states of the stream before the first intervention. */
  below: DecoderSession;
  /** Is given them, changes them, and gives the logits of last tokens; with a cache. */
  above: DecodingSession;
}

/** A steered model that reads whole texts. */
export class SteeredSession {
  /** @param below gives the states that `above` is given, if any */
  constructor(
    private readonly below: DecoderSession | undefined,
    private readonly above: DecoderSession,
  ) {}

  get compiled(): CompiledDecoder {
    return this.above.compiled;
  }

  /** Runs of a batch, under whatever steering; what is below the first intervention is computed once for all of them. */
  async runs(batch: TokenBatch): Promise<(steering?: Steering) => Promise<DecoderStates>> {
    const given = this.below && (await this.below.run(batch)).residuals[0].slice();
    return (steering) => this.above.run(batch, { given, steering });
  }
}

/** Opens a model for one list of interventions after another; one of them is in memory at a time. */
export class SteeredSessions {
  constructor(
    readonly model: LanguageModel,
    private readonly options: WorkOptions & { precision: Precision; threads: number | undefined },
  ) {}

  /** With a cache, and the logits of these tokens after last ones. */
  inTwo<T>(
    shapes: readonly InterventionShape[],
    logitTokens: readonly number[],
    use: (parts: TwoParts) => Promise<T>,
  ): Promise<T> {
    const given = this.lowest(shapes)!;
    return this.opened(async (open) => {
      const below = await open.whole({ sites: [given] });
      return use({ below, above: await open.cached({ sites: [], given, logits: 'last', logitTokens, interventions: shapes }) });
    });
  }

  /** Without a cache. */
  whole<T>(
    shapes: readonly InterventionShape[],
    outputs: Pick<CompileOptions, 'sites' | 'logits' | 'logitTokens'>,
    use: (session: SteeredSession) => Promise<T>,
  ): Promise<T> {
    const given = this.lowest(shapes);
    return this.opened(async (open) => {
      const below = given === undefined ? undefined : await open.whole({ sites: [given] });
      return use(new SteeredSession(below, await open.whole({ sites: [], ...outputs, given, interventions: shapes })));
    });
  }

  /** The stream where the first intervention reads it; undefined: there is none. */
  private lowest(shapes: readonly InterventionShape[]): string | undefined {
    const { layers } = this.model.spec;
    const [lowest] = shapes.map(({ site }) => parseSite(site, layers)).sort((a, b) => (comesBefore(a, b) ? -1 : 1));
    // What attention or an MLP gives is only a part of what the block hands on.
    return lowest && formatSite(lowest.point.startsWith('resid') ? lowest : { ...lowest, point: 'resid_pre' });
  }

  private async opened<T>(
    use: (open: {
      whole: (options: CompileOptions) => Promise<DecoderSession>;
      cached: (options: CompileOptions) => Promise<DecodingSession>;
    }) => Promise<T>,
  ): Promise<T> {
    const { precision, threads, onProgress, signal } = this.options;
    const sessions: { close(): Promise<void> }[] = [];
    const compile = (options: CompileOptions) => this.model.compile({ ...options, precision, onProgress, signal });
    const keep = <S extends DecoderSession | DecodingSession>(session: S): S => {
      sessions.push(session);
      return session;
    };
    try {
      return await use({
        whole: async (options) => keep(await DecoderSession.open(await compile(options), { threads })),
        cached: async (options) => keep(await DecodingSession.open(await compile({ ...options, cache: true }), { threads })),
      });
    } finally {
      for (const session of sessions) await session.close();
    }
  }
}
