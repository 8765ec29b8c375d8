import { randomUUID } from 'node:crypto';
import { TOOL } from '../artifact/manifest.js';
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import type { GenerationStream } from '../model/generation/generation-stream.js';
import type { Prompt } from '../model/generation/messages.js';
import type { GenerateOptions } from '../model/generation/text-generator.js';
import { Admission } from './admission.js';
import type { Answer } from './answer.js';
import { DEFECT, errorOf, refusal, refusalOf } from './api-error.js';
import { chatAnswer, chatChunks } from './chat-answer.js';
import { ChatRequest, chatOptions, messagesOf } from './chat-request.js';
import { completionAnswer, completionChunks } from './completion-answer.js';
import { CompletionRequest, completionOptions, promptsOf } from './completion-request.js';
import { eventStream } from './event-stream.js';
import { parseBody, type Sampling } from './request-body.js';
import type { EncodedPrompt, ServedArm, Steered, SteeredModel } from './steered-model.js';

export interface ServiceOptions {
  /** Texts that are gone on with at once. */
  batch: number;
  /** Texts that may wait beside them. */
  queue: number;
  /** Tokens of a chat's answer, where a request does not say. */
  maxTokens: number;
  /** Told of what is a defect. */
  onDefect: (error: unknown) => void;
}

/** What is generated for a request. */
interface Job {
  answer: Answer;
  /** Of each choice: those of the first prompt, then those of the second... */
  streams: readonly GenerationStream[];
  abort: () => void;
}

/** Answers requests from a model, so many at once; the rest wait, and what is more is refused. */
export class ModelService {
  private readonly started = Math.floor(Date.now() / 1000);
  private readonly admission: Admission;
  private readonly running = new Set<{ abort: () => void; done: Promise<unknown> }>();
  private refusing = false;
  private answered = 0;

  constructor(
    private readonly served: SteeredModel,
    /** Token ids that end a text. */
    private readonly endTokens: readonly number[],
    private readonly options: ServiceOptions,
  ) {
    this.admission = new Admission(options.batch, options.queue);
  }

  get name(): string {
    return this.served.name;
  }

  get tokenizer(): Tokenizer {
    return this.served.model.tokenizer;
  }

  /** Tokens of a prompt and its continuation, at most. */
  get context(): number {
    return this.served.context;
  }

  get stopping(): boolean {
    return this.refusing;
  }

  /** Requests for text that were let in so far. */
  get requests(): number {
    return this.answered;
  }

  /** Texts under way, and waiting. */
  get load(): number {
    return this.admission.load;
  }

  /** GET /v1/models */
  models(): unknown[] {
    return this.served.arms.map((arm) => this.listing(arm));
  }

  /**
   * GET /v1/models/ID
   * @throws HTTPException 404, 400
   */
  model(id: string): unknown {
    const steered = this.armOf(id);
    return this.listing({ id, ...(steered && { steered }) });
  }

  /**
   * POST /v1/chat/completions
   * @throws HTTPException
   */
  async chat(body: string, signal: AbortSignal): Promise<Response> {
    this.requireRunning();
    const request = parseBody(ChatRequest, body);
    const steered = this.armOf(request.model);
    const { enable_thinking: thinking, ...variables } = request.chat_template_kwargs ?? {};
    const messages = messagesOf(request);
    this.admission.requireRoom(request.n ?? 1);
    this.requireShort(
      messages.map(({ content }) => content),
      'messages',
    );
    const ids = told('messages', () => this.served.encodeChat(messages, steered, { thinking: thinking === true, variables }));
    const prompts = [{ ids, hidden: 0 }];
    this.requireRoom(prompts, 'messages');
    const job = await this.begin(request, prompts, steered, chatOptions(request, this.options.maxTokens), signal);
    if (request.stream) return this.inPieces(job, chatChunks(job.answer, job.streams));
    return Response.json(chatAnswer(job.answer, await this.whole(job)));
  }

  /**
   * POST /v1/completions
   * @throws HTTPException
   */
  async complete(body: string, signal: AbortSignal): Promise<Response> {
    this.requireRunning();
    const request = parseBody(CompletionRequest, body);
    const steered = this.armOf(request.model);
    const given = promptsOf(request);
    this.admission.requireRoom(given.length * (request.n ?? 1));
    this.requireShort(given, 'prompt');
    const prompts = told('prompt', () => given.map((prompt) => this.served.encodeText(prompt, steered)));
    this.requireIds(prompts);
    this.requireRoom(prompts, 'prompt');
    const job = await this.begin(request, prompts, steered, completionOptions(request), signal);
    const { tokenizer } = job.answer;
    const texts = given.map((prompt) => (typeof prompt === 'string' ? prompt : tokenizer.decode(prompt)));
    const choices = job.streams.length / prompts.length;
    const echoes = job.streams.map((_, i) => (request.echo ? texts[Math.floor(i / choices)] : undefined));
    if (request.stream) return this.inPieces(job, completionChunks(job.answer, echoes, job.streams, request.logprobs != null));
    return Response.json(completionAnswer(job.answer, echoes, await this.whole(job)));
  }

  /**
   * Takes no more requests, and waits for those that run.
   * @param patience milliseconds after which they are ended where they are
   */
  async stop(patience: number): Promise<void> {
    this.refusing = true;
    const done = () => Promise.allSettled([...this.running].map((job) => job.done));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patience);
    });
    await Promise.race([done(), late]);
    clearTimeout(timer);
    for (const job of this.running) job.abort();
    await done();
  }

  private requireRunning(): void {
    if (this.refusing)
      throw refusal(503, 'The server is about to stop.', {
        code: 'stopping',
        headers: { connection: 'close', 'retry-after': '5' },
      });
  }

  private armOf(id: string): Steered | undefined {
    try {
      return this.served.steered(id);
    } catch (error) {
      const unknown = refusalOf(error, 'model');
      if (unknown?.status !== 404) throw unknown ?? error;
      throw refusal(404, unknown.message, { code: 'model_not_found', param: 'model' });
    }
  }

  /** Ids are of the vocabulary. */
  private requireIds(prompts: readonly EncodedPrompt[]): void {
    const { vocabulary } = this.served.model.spec;
    for (const { ids } of prompts) {
      const wrong = ids.find((id) => id >= vocabulary);
      if (wrong !== undefined)
        throw refusal(400, `prompt: the token id ${wrong} is not below ${vocabulary}.`, {
          code: 'invalid_value',
          param: 'prompt',
        });
    }
  }

  /** Texts that cannot fit, however well their tokens suit them, are refused before they cost any time. */
  private requireShort(prompts: readonly Prompt[], param: 'prompt' | 'messages'): void {
    const { context, tokenizer } = this;
    for (const prompt of prompts)
      if (typeof prompt === 'string' && prompt.length > context * tokenizer.longestToken)
        throw refusal(
          400,
          `${this.name} takes at most ${context} tokens; a text of ${prompt.length} characters has more. Shorten it.`,
          { code: 'context_length_exceeded', param },
        );
  }

  private requireRoom(prompts: readonly EncodedPrompt[], param: string): void {
    const { context } = this.served;
    const longest = Math.max(...prompts.map(({ ids }) => ids.length));
    if (longest > context)
      throw refusal(400, `${this.name} takes at most ${context} tokens; the prompt has ${longest}. Shorten it.`, {
        code: 'context_length_exceeded',
        param,
      });
  }

  private async begin(
    request: Pick<Sampling, 'model' | 'n' | 'stream_options'>,
    prompts: readonly EncodedPrompt[],
    steered: Steered | undefined,
    options: GenerateOptions,
    client: AbortSignal,
  ): Promise<Job> {
    const choices = request.n ?? 1;
    const leave = this.admission.enter(prompts.length * choices);
    const stop = new AbortController();
    const abort = () => stop.abort();
    const ids = prompts.flatMap((prompt) => Array.from({ length: choices }, () => prompt.ids));
    const begun = this.served.streams(ids, steered, { ...options, signal: AbortSignal.any([client, stop.signal]) });
    const done = begun.then(
      (streams) => Promise.allSettled(streams.map(({ result }) => result)),
      () => {},
    );
    const job = { abort, done };
    this.running.add(job);
    this.answered++;
    done.then(() => {
      this.running.delete(job);
      leave();
    });
    try {
      return { answer: this.answerTo(request, prompts), streams: await begun, abort };
    } catch (error) {
      throw refusalOf(error) ?? error;
    }
  }

  private answerTo(
    { model, stream_options: how }: Pick<Sampling, 'model' | 'stream_options'>,
    prompts: readonly EncodedPrompt[],
  ): Answer {
    const { tokenizer, sha256 } = this.served.model;
    return {
      id: randomUUID(),
      created: Math.floor(Date.now() / 1000),
      model,
      fingerprint: `${TOOL.name}-${TOOL.version}-${sha256.slice(0, 12)}`,
      tokenizer,
      endTokens: this.endTokens,
      prompts,
      includeUsage: how?.include_usage ?? false,
    };
  }

  private async whole({ streams, abort }: Job) {
    try {
      return await Promise.all(streams.map(({ result }) => result));
    } catch (error) {
      abort();
      throw error;
    }
  }

  private inPieces({ abort }: Job, chunks: AsyncIterable<unknown>): Response {
    return eventStream(chunks, {
      onError: (error) => {
        const known = refusalOf(error);
        if (!known) this.options.onDefect(error);
        abort();
        return { error: known ? errorOf(known) : DEFECT };
      },
      onCancel: abort,
    });
  }

  private listing({ id, steered }: ServedArm) {
    return {
      id,
      object: 'model',
      created: this.started,
      owned_by: TOOL.name,
      ...(steered && { remedy: steered.remedy.kind, arm: steered.arm.name, strength: steered.strength }),
    };
  }
}

/** Errors of the library as refusals that name the field. */
function told<T>(param: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw refusalOf(error, param) ?? error;
  }
}
