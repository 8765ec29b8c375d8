import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { MoralscopeError, throwIfCancelled } from '../../errors.js';
import { parseOptions } from '../../options.js';
import type { WorkOptions } from '../../progress.js';
import type { Intervention } from '../intervention.js';
import { type Arms, requireArm, shapesOfArms } from './arms.js';
import { type Generation, GenerationStream } from './generation-stream.js';
import {
  fromSent,
  type GenerationCommand,
  type GenerationReply,
  type GenerationRequest,
  type GenerationThreadData,
  type Prompt,
} from './messages.js';
import { GenerationOptions, type Given } from './options.js';

/** What is left out takes its default. */
export type GenerateOptions = Given<GenerationOptions> & {
  /** Ends the texts where they are: they come back with the finish reason `cancelled`. */
  signal?: AbortSignal | undefined;
};

/**
 * A model that goes on with texts, in a thread of its own. All texts that are asked for, by whomever, are gone on with together: they
 * join between two steps, as many as there is room for, and leave when they end. A text's random numbers are its own, but which texts
 * run beside it may move the last bits of its logits: what is begun together in an idle generator comes out the same every time.
 *
 * @example
 * const generator = await model.generator();
 * const prompt = model.chat.encode([{ role: 'user', content: 'Is it wrong to lie?' }]);
 * for await (const { text } of generator.stream(prompt, { temperature: 0.7 })) process.stdout.write(text);
 * await generator.close();
 */
export class TextGenerator {
  /** Token ids that end a text. */
  endTokens: readonly number[] = [];
  private readonly streams = new Map<number, GenerationStream>();
  private requests = 0;
  private failure: unknown;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly worker: Worker,
    private arms: Arms,
  ) {
    worker.on('message', (reply: GenerationReply) => this.take(reply));
    worker.on('error', (error) => this.lose(error));
    worker.on('exit', (status) => this.lose(new Error(`the thread that generates ended with status ${status}`)));
  }

  /** @throws MoralscopeError what compiling the model and reading its tokenizer throw */
  static async start(data: GenerationThreadData, { onProgress, signal }: WorkOptions = {}): Promise<TextGenerator> {
    // Flags of the process, such as --input-type of a script given on the command line, do not suit the thread.
    const options = { workerData: data, execArgv: [] };
    const worker = new Worker(new URL('./generation-thread.js', import.meta.url), options);
    const generator = new TextGenerator(worker, data.arms);
    const stop = () => worker.postMessage({ kind: 'close' } satisfies GenerationCommand);
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        worker.on('message', (reply: GenerationReply) => {
          if (reply.kind === 'progress') onProgress?.(reply.event);
          if (reply.kind === 'ready') resolve();
          if (reply.kind === 'lost') reject(fromSent(reply.error));
        });
        worker.on('error', reject);
        worker.on('exit', (status) => reject(new Error(`the thread that generates ended with status ${status}`)));
      });
      throwIfCancelled(signal);
      return generator;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  /**
   * Goes on with these texts, which begin together. A prompt is text, in which special tokens that are spelled out are special, or
   * token ids; an empty one is the token that texts begin with.
   * @throws MoralscopeError `misuse` for options that make no sense; `bad-data` for a prompt longer than the model's context, or empty
   * where the model has no token to begin with, and for logits that are no numbers
   */
  async generate(prompts: readonly Prompt[], options: GenerateOptions = {}): Promise<Generation[]> {
    const streams = this.begin(prompts, options);
    try {
      return await Promise.all(streams.map(({ result }) => result));
    } catch (error) {
      for (const id of this.idsOf(streams)) this.cancel(id);
      throw error;
    }
  }

  /**
   * Goes on with these texts, which begin together, piece by piece.
   * @throws MoralscopeError `misuse` for options that make no sense; the rest as `stream`
   */
  begin(prompts: readonly Prompt[], { signal, ...given }: GenerateOptions): GenerationStream[] {
    const options = parseOptions(GenerationOptions, given);
    requireArm(this.arms, options);
    if (this.failure) throw this.failure;
    const cancelled = signal?.aborted ?? false;
    const requests = prompts.map(
      (prompt, stream): GenerationRequest => ({ id: this.requests++, prompt, options, stream, cancelled }),
    );
    const streams = requests.map(({ id }) => new GenerationStream(() => this.cancel(id)));
    for (const [i, { id }] of requests.entries()) this.streams.set(id, streams[i]);
    this.worker.postMessage({ kind: 'add', requests } satisfies GenerationCommand);
    const cancel = () => {
      for (const id of this.idsOf(streams)) this.cancel(id);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    Promise.allSettled(streams.map(({ result }) => result)).then(() => signal?.removeEventListener('abort', cancel));
    return streams;
  }

  /** Goes on with one text, piece by piece. It begins at once; what `generate` throws, reading the pieces does. */
  stream(prompt: Prompt, options: GenerateOptions = {}): GenerationStream {
    return this.begin([prompt], options)[0];
  }

  /**
   * Takes one more arm, of the shapes of those that it was opened with.
   * @throws MoralscopeError `misuse` where it has others, or none
   */
  addArm(name: string, interventions: readonly Intervention[]): void {
    if (Object.keys(this.arms).length === 0)
      throw new MoralscopeError('misuse', 'The generator was opened without arms.', 'Open another with this one.');
    const arms = { ...this.arms, [name]: interventions };
    shapesOfArms(arms);
    this.arms = arms;
    this.worker.postMessage({ kind: 'arm', name, interventions } satisfies GenerationCommand);
  }

  /** Ends the thread, and the texts that are not done. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    if (this.failure) return;
    this.failure = new MoralscopeError('misuse', 'The generator is closed.', 'Open another.');
    const ended = once(this.worker, 'exit');
    this.worker.postMessage({ kind: 'close' } satisfies GenerationCommand);
    await ended;
  }

  private cancel(id: number): void {
    this.worker.postMessage({ kind: 'cancel', id } satisfies GenerationCommand);
  }

  private idsOf(streams: readonly GenerationStream[]): number[] {
    return [...this.streams].filter(([, stream]) => streams.includes(stream)).map(([id]) => id);
  }

  private take(reply: GenerationReply): void {
    if (reply.kind === 'ready') this.endTokens = reply.endTokens;
    else if (reply.kind === 'lost') this.lose(fromSent(reply.error));
    else if (reply.kind === 'failed') this.endOf(reply.id)?.fail(fromSent(reply.error));
    else if (reply.kind === 'updates')
      for (const update of reply.updates) (update.end ? this.endOf(update.id) : this.streams.get(update.id))?.add(update);
  }

  private endOf(id: number): GenerationStream | undefined {
    const stream = this.streams.get(id);
    this.streams.delete(id);
    return stream;
  }

  private lose(error: unknown): void {
    this.failure ??= error;
    for (const stream of this.streams.values()) stream.fail(this.failure);
    this.streams.clear();
  }
}
