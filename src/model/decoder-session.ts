import type { CompiledDecoder } from './compiled-decoder.js';
import { DecoderRunner, type DecoderStates } from './decoder-runner.js';
import { type Steering, separation } from './steering.js';
import { distinctBeginnings, type TokenBatch } from './token-rows.js';

export interface DecoderRun {
  /**
   * States of the given site, [rows, hidden], where the decoder was compiled with one: a row for each distinct beginning; where not all
   * strengths are one, of the texts of each strength; and for the positions `last` a row for each text's last token.
   */
  given?: Float32Array | undefined;
  /** Where the decoder was compiled with interventions; every token is one of the prompt. Default: a strength of 0. */
  steering?: Steering | undefined;
}

/** A compiled decoder at work. A run blocks the thread that opened the session, so open it in a worker thread. */
export class DecoderSession {
  private constructor(private readonly runner: DecoderRunner) {}

  /**
   * @param compiled without a cache
   * @param options.threads threads of one run; default: as many as the machine has cores
   */
  static async open(compiled: CompiledDecoder, options: { threads?: number | undefined } = {}): Promise<DecoderSession> {
    if (compiled.cache) throw new RangeError('a decoder compiled with a cache runs in a DecodingSession');
    return new DecoderSession(await DecoderRunner.open(compiled, options));
  }

  get compiled(): CompiledDecoder {
    return this.runner.compiled;
  }

  /**
   * @throws RangeError for lengths or ids outside what the decoder takes, or states of another size; MoralscopeError `misuse` for a strength
   * out of range, or interventions that the decoder was not compiled for
   */
  async run(batch: TokenBatch, { given, steering }: DecoderRun = {}): Promise<DecoderStates> {
    this.runner.check(batch, { steering });
    const rows = distinctBeginnings(batch, steering && separation(steering));
    this.runner.checkGiven(given, rows.ids.length);
    const states = this.runner.states(rows.ids.length, batch.batch);
    await this.runner.run(rows, batch.lengths, states, { given, steering });
    return { ...states, place: rows.place };
  }

  close(): Promise<void> {
    return this.runner.close();
  }
}
