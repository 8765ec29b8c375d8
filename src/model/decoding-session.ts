import type { CompiledDecoder } from './compiled-decoder.js';
import { DecoderCache } from './decoder-cache.js';
import { DecoderRunner, type DecoderStates } from './decoder-runner.js';
import { type Stage, type Steering, separation } from './steering.js';
import { distinctBeginnings, everyToken, type TokenBatch } from './token-rows.js';

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

  /** An empty cache for this decoder. */
  cache(): DecoderCache {
    return new DecoderCache(this.compiled.cache!);
  }

  /**
   * Reads the first tokens of new texts into an empty cache, or some more of each text of a cache. What new texts begin with in
   * common is computed but once. Attention needs memory for heads * length * (length + the longest text's tokens so far) scores of
   * each text, a few times over: read long texts a part at a time.
   * @param steering of these tokens, which are of the `prompt`; the `last` is that of each text in this run. Default: a strength of 0
   * @returns the states of these tokens, and the logits after each text's last one
   * @throws RangeError for lengths or ids outside what the decoder takes, and another number of texts than the cache has; MoralscopeError
   * `misuse` for a strength out of range, or interventions that the decoder was not compiled for
   */
  prefill(cache: DecoderCache, batch: TokenBatch, steering?: Steering): Promise<DecoderStates> {
    return this.read(cache, batch, 'prompt', steering);
  }

  /**
   * Reads one more token of each text of the cache.
   * @param ids [texts]
   * @param steering of these tokens, which are `generated`, and the `last` of each text. Default: a strength of 0
   * @returns the states of these tokens, a row for each text, and the logits after them
   * @throws RangeError, MoralscopeError as `prefill`
   */
  step(cache: DecoderCache, ids: Int32Array, steering?: Steering): Promise<DecoderStates> {
    if (cache.texts === 0) throw new RangeError('a step of an empty cache');
    const batch = { ids, lengths: new Int32Array(ids.length).fill(1), batch: ids.length, length: 1 };
    return this.read(cache, batch, 'generated', steering);
  }

  close(): Promise<void> {
    return this.runner.close();
  }

  private async read(cache: DecoderCache, batch: TokenBatch, stage: Stage, steering?: Steering): Promise<DecoderStates> {
    const begun = cache.texts > 0;
    if (begun && cache.texts !== batch.batch) throw new RangeError(`${batch.batch} texts for a cache of ${cache.texts}`);
    const cached = begun ? cache.lengths : new Int32Array(batch.batch);
    this.runner.check(batch, { cached, steering });
    const rows = begun ? everyToken(batch, cached) : distinctBeginnings(batch, steering && separation(steering));
    const states = this.runner.states(rows.ids.length, batch.batch);
    const { room, past } = cache.tensors(batch.batch);
    const present = await this.runner.run(rows, batch.lengths, states, {
      cache: { lengths: cached, room, past },
      steering,
      stage,
    });
    cache.append(batch.lengths, batch.length, present);
    return { ...states, place: rows.place };
  }
}
