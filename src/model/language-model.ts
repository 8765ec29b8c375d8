import type { WorkOptions } from '../progress.js';
import type { CompiledDecoder } from './compiled-decoder.js';
import type { DecoderSession } from './decoder-session.js';
import type { DecoderSpec } from './spec.js';

export interface CompileOptions extends WorkOptions {
  /** Sites to tap, by name; default: `blocks.{L}.hook_resid_post` of every layer. Layers above the last are left out. */
  sites?: readonly string[];
  /** Also the logits after the last token of each text. Default: false. */
  logits?: boolean;
}

export interface OpenModelOptions extends WorkOptions {
  /** Threads of one run; default: as many as the machine has cores. */
  threads?: number;
  /** Directory for downloads and compiled graphs; default: `MORALSCOPE_CACHE` or the user's cache directory. */
  cache?: string;
}

/**
 * A language model on this machine.
 *
 * @example
 * const model = await LanguageModel.open('smollm2-135m');
 * const compiled = await model.compile({ logits: true }); // plain data: send it to a worker thread
 * const session = await DecoderSession.open(compiled, { threads: 2 });
 */
export declare class LanguageModel {
  private constructor();
  /** @param source a known name, a file, or any other source that `pull` takes */
  static open(source: string, options?: OpenModelOptions): Promise<LanguageModel>;
  readonly name: string;
  /** e.g. `llama` */
  readonly family: string;
  readonly spec: DecoderSpec;
  /** The checkpoint's tokenizer (see checkpoint/). */
  readonly tokenizer: unknown;
  /** Of the checkpoint. */
  readonly sha256: string;
  /** Number of parameters; tied ones count once. */
  readonly parameters: number;
  /** The graph for these sites, from the cache or built now. */
  compile(options?: CompileOptions): Promise<CompiledDecoder>;
  /** `compile`, then `DecoderSession.open` in this thread. */
  session(options?: CompileOptions): Promise<DecoderSession>;
  close(): Promise<void>;
}
