import { dirname } from 'node:path';
import { ChatTemplate } from '../checkpoint/chat/chat-template.js';
import { type Checkpoint, openCheckpoint } from '../checkpoint/checkpoint.js';
import { resolveModel } from '../checkpoint/sources.js';
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import { parseOptions } from '../options.js';
import type { WorkOptions } from '../progress.js';
import { type CompileOptions, compileDecoder } from './compile.js';
import type { CompiledDecoder } from './compiled-decoder.js';
import { DecoderSession } from './decoder-session.js';
import { DecodingSession } from './decoding-session.js';
import { exactStates } from './exact-states.js';
import { mapDecoder } from './family.js';
import { parameterCount } from './footprint.js';
import { type Arms, shapesOfArms } from './generation/arms.js';
import type { Generation } from './generation/generation-stream.js';
import type { Prompt } from './generation/messages.js';
import { GeneratorOptions, type Given } from './generation/options.js';
import { type GenerateOptions, TextGenerator } from './generation/text-generator.js';
import { requireMemory } from './memory.js';
import type { DecoderSpec } from './spec.js';
import type { TokenBatch } from './token-rows.js';

export interface OpenModelOptions extends WorkOptions {
  /** Threads of one run; default: as many as the machine has cores. */
  threads?: number | undefined;
}

export interface OpenGeneratorOptions extends Given<GeneratorOptions>, WorkOptions {
  /** Changes to the model that a text can ask for by name, all of the same shapes. */
  arms?: Arms | undefined;
}

/**
 * A language model on this machine.
 *
 * @example
 * const model = await LanguageModel.open('smollm2-135m');
 * const compiled = await model.compile({ logits: 'last' }); // plain data: send it to a worker thread, and there
 * const session = await DecoderSession.open(compiled, { threads: 2 });
 */
export class LanguageModel {
  private chatTemplate: ChatTemplate | undefined;

  private constructor(
    /** The name it was found under. */
    readonly name: string,
    /** e.g. `llama` */
    readonly family: string,
    readonly spec: DecoderSpec,
    readonly tokenizer: Tokenizer,
    /** Of the checkpoint. */
    readonly sha256: string,
    /** Number of parameters; tied ones count once. */
    readonly parameters: number,
    private readonly checkpoint: Checkpoint,
    private readonly threads: number | undefined,
  ) {}

  /**
   * Finds the model, fetching it first if need be, and reads its configuration and tokenizer; the weights stay on disk.
   * @param source a name of the catalog (`smollm2-135m`), a path, or any other source that `resolveModel` takes
   * @throws MoralscopeError `not-found`, `network`, `bad-file`, `unsupported`, `disk`, `cancelled`
   */
  static async open(source: string, options: OpenModelOptions = {}): Promise<LanguageModel> {
    const { name, path } = await resolveModel(source, options);
    const checkpoint = await openCheckpoint(path);
    try {
      const { family, spec } = mapDecoder(checkpoint);
      const [tokenizer, sha256] = [await checkpoint.tokenizer(), await checkpoint.sha256()];
      return new LanguageModel(name, family, spec, tokenizer, sha256, parameterCount(spec), checkpoint, options.threads);
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
  }

  /**
   * How conversations are written for this model.
   * @throws MoralscopeError `unsupported` where it has no chat template, `bad-file` where the template cannot be parsed
   */
  get chat(): ChatTemplate {
    this.chatTemplate ??= ChatTemplate.of(this.tokenizer, this.name);
    return this.chatTemplate;
  }

  /**
   * The graph for these sites, from the cache or built now (`compileDecoder`), to be run on this machine.
   * @throws MoralscopeError what `compileDecoder` throws, and `memory` where this machine cannot hold it
   */
  async compile(options: CompileOptions = {}): Promise<CompiledDecoder> {
    requireMemory(this.name, this.spec, options);
    return compileDecoder(this.checkpoint, options);
  }

  /** States and logits of a batch in fp32 whatever `compiled` is, one block at a time (`exactStates`). */
  exactStates(
    compiled: CompiledDecoder,
    batch: TokenBatch,
    options: WorkOptions & { threads?: number | undefined } = {},
  ): AsyncGenerator<Float32Array> {
    const [mapping, directory] = [mapDecoder(this.checkpoint), dirname(compiled.graph)];
    return exactStates(this.checkpoint, mapping, compiled, batch, { threads: this.threads, ...options, directory });
  }

  /** `compile`, then a session in this thread. */
  async session(options: CompileOptions = {}): Promise<DecoderSession> {
    return DecoderSession.open(await this.compile(options), { threads: this.threads });
  }

  /** The same for texts that are read part by part and go on, token by token: `DecodingSession`. */
  async decoding(options: Omit<CompileOptions, 'cache'> = { sites: [], logits: 'last' }): Promise<DecodingSession> {
    return DecodingSession.open(await this.compile({ ...options, cache: true }), { threads: this.threads });
  }

  /**
   * A thread that goes on with texts, as many at once as memory allows; close it.
   * @throws MoralscopeError what `compile` throws, `misuse`
   */
  async generator({ arms = {}, onProgress, signal, ...given }: OpenGeneratorOptions = {}): Promise<TextGenerator> {
    const options = parseOptions(GeneratorOptions, given);
    shapesOfArms(arms);
    requireMemory(this.name, this.spec, { sites: [], logits: 'last', precision: options.precision });
    const checkpoint = { path: this.checkpoint.path, sha256: this.sha256 };
    const { name: model, parameters, threads } = this;
    return TextGenerator.start({ model, checkpoint, parameters, threads, options, arms }, { onProgress, signal });
  }

  /**
   * Goes on with these texts, with a `generator` of their own. Its signal ends the texts where they are, once the generator is there.
   * @throws MoralscopeError as `generator` and `TextGenerator.generate`
   */
  async generate(prompts: readonly Prompt[], options: GenerateOptions & OpenGeneratorOptions = {}): Promise<Generation[]> {
    const generator = await this.generator(options);
    try {
      return await generator.generate(prompts, options);
    } finally {
      await generator.close();
    }
  }

  close(): Promise<void> {
    return this.checkpoint.close();
  }
}
