import type { CompiledDecoder } from './compiled-decoder.js';
import { DecoderCache } from './decoder-cache.js';
import { DecoderRunner, type DecoderStates } from './decoder-runner.js';
import { type Stage, type Steering, separation } from './steering.js';
import { distinctBeginnings, everyToken, type TokenBatch } from './token-rows.js';

/** The arrays of states and logits are overwritten by the session's next run: copy what is to stay. */
export interface DecodedStates extends DecoderStates {
  /** The row of `logits` that follows each token that was asked for. */
  logitsRow: Int32Array;
}

export interface GivenStates {
  /**
   * Where the decoder was compiled with a given site: its states, [rows, hidden]. A row for each distinct beginning of new texts
   * (`distinctBeginnings`), else for each token.
   */
  given?: Float32Array | undefined;
}

export interface PrefillOptions extends GivenStates {
  /** Tokens of the batch, as indices into its `ids`, after which the logits are wanted; default: each text's last one. */
  read?: Int32Array | undefined;
  /** Of each text, whether its prompt ends with this run, so that its last token is steered as the `last`; default: all do. */
  ends?: readonly boolean[] | undefined;
}

/**
 * A compiled decoder that reads on where it stopped: what a text's earlier tokens gave is in a cache. One session serves any number
 * of caches, one run at a time. A run blocks the thread that opened the session, so open it in a worker thread.
 *
 * @example
 * const session = await model.decoding();
 * const cache = session.cache();
 * let { logits } = await session.prefill(cache, prompts);
 * for (...) ({ logits } = await session.step(cache, Int32Array.of(...one token of each text)));
 */
export class DecodingSession {
  private constructor(private readonly runner: DecoderRunner) {}

  /**
   * @param compiled with a cache
   * @param options.threads threads of one run; default: as many as the machine has cores
   */
  static async open(compiled: CompiledDecoder, options: { threads?: number | undefined } = {}): Promise<DecodingSession> {
    if (!compiled.cache) throw new RangeError('a decoder compiled without a cache runs in a DecoderSession');
    return new DecodingSession(await DecoderRunner.open(compiled, options));
  }

  get compiled(): CompiledDecoder {
    return this.runner.compiled;
  }

  /**
   * An empty cache for this decoder.
   * @param more tokens that each text will get after its first ones, where that is known
   */
  cache(more?: number): DecoderCache {
    return new DecoderCache(this.compiled.cache!, more);
  }

  /**
   * Reads the first tokens of new texts into an empty cache, or some more of each text of a cache. What new texts begin with in
   * common is computed but once. Attention needs memory for heads * length * (length + the longest text's tokens so far) scores of
   * each text, a few times over: read long texts a part at a time.
   * @param steering of these tokens, which are of the `prompt`; the `last` is that of each text in this run. Default: a strength of 0
   * @returns the states of these tokens, and the logits after those that are asked for
   * @throws RangeError for lengths or ids outside what the decoder takes, and another number of texts than the cache has; MoralscopeError
   * `misuse` for a strength out of range, or interventions that the decoder was not compiled for
   */
  prefill(cache: DecoderCache, batch: TokenBatch, steering?: Steering, options?: PrefillOptions): Promise<DecodedStates> {
    return this.read(cache, batch, 'prompt', steering, options);
  }

  /**
   * Reads one more token of each text of the cache.
   * @param ids [texts]
   * @param steering of these tokens, which are `generated`, and the `last` of each text. Default: a strength of 0
   * @returns the states of these tokens, a row for each text, and the logits after them
   * @throws RangeError, MoralscopeError as `prefill`
   */
  step(cache: DecoderCache, ids: Int32Array, steering?: Steering, options?: GivenStates): Promise<DecodedStates> {
    if (cache.texts === 0) throw new RangeError('a step of an empty cache');
    const batch = { ids, lengths: new Int32Array(ids.length).fill(1), batch: ids.length, length: 1 };
    return this.read(cache, batch, 'generated', steering, options);
  }

  close(): Promise<void> {
    return this.runner.close();
  }

  private async read(
    cache: DecoderCache,
    batch: TokenBatch,
    stage: Stage,
    steering: Steering | undefined,
    { read, ends, given }: PrefillOptions = {},
  ): Promise<DecodedStates> {
    const begun = cache.texts > 0;
    if (begun && cache.texts !== batch.batch) throw new RangeError(`${batch.batch} texts for a cache of ${cache.texts}`);
    const cached = begun ? cache.lengths : new Int32Array(batch.batch);
    this.runner.check(batch, { cached, steering });
    const rows = begun ? everyToken(batch, cached) : distinctBeginnings(batch, steering && separation(steering));
    this.runner.checkGiven(given, rows.ids.length);
    const asked = (read ?? batch.lengths.map((n, text) => text * batch.length + n - 1)).map((at) => rows.place[at]);
    // Texts that begin alike share rows, whose logits need be computed but once.
    const readRows = read ? Int32Array.from(new Set(asked)) : asked;
    const states = this.runner.states(rows.ids.length, readRows.length);
    const { room, past } = cache.tensors(batch.batch);
    const present = await this.runner.run(rows, batch.lengths, states, {
      cache: { lengths: cached, room, past },
      steering,
      stage,
      read: readRows,
      ends,
      given,
    });
    cache.append(batch.lengths, batch.length, present);
    return { ...states, place: rows.place, logitsRow: this.logitsRow(asked, readRows) };
  }

  private logitsRow(asked: Int32Array, readRows: Int32Array): Int32Array {
    if (this.compiled.logits === 'all') return asked;
    const index = new Map(Array.from(readRows, (row, i) => [row, i]));
    return asked.map((row) => index.get(row)!);
  }
}
