import type { BoundaryTokens } from '../../checkpoint/boundary-tokens.js';
import { TextStream } from '../../checkpoint/text-stream.js';
import type { Tokenizer } from '../../checkpoint/tokenizer.js';
import { Random } from '../../random.js';
import { LogProbsBuilder } from './log-probs.js';
import type { FinishReason, GenerationRequest, GenerationUpdate } from './messages.js';
import type { NextToken } from './next-token.js';
import type { GenerationOptions } from './options.js';
import { StopStrings } from './stop-strings.js';

/** What the sequences of a model have in common. */
export interface SequenceTools {
  tokenizer: Tokenizer;
  nextToken: NextToken;
  boundaries: BoundaryTokens;
  context: number;
  vocabulary: number;
}

/** Tokens of the prompt that say how the first word after it is spelled. */
const CONTEXT = 8;

/** A text that is gone on with: which token comes next, what is to be said of it, and when it ends. */
export class Sequence {
  readonly id: number;
  readonly options: GenerationOptions;
  /** What went wrong with it. */
  failure: unknown;
  private finishReason: FinishReason | undefined;
  private readonly random: Random;
  private readonly before: Set<number>;
  private readonly text: TextStream;
  private readonly stops: StopStrings;
  private readonly endTokens: ReadonlySet<number>;
  private readonly logProbs: LogProbsBuilder | undefined;
  private readonly promptLogProbs: LogProbsBuilder | undefined;
  private generated = 0;
  private last = -1;
  private stoppedBy: string | number | undefined;
  private newText = '';
  private newIds: number[] = [];
  private told = false;

  constructor(
    { id, options, stream }: Pick<GenerationRequest, 'id' | 'options' | 'stream'>,
    readonly prompt: Int32Array,
    private readonly tools: SequenceTools,
  ) {
    const { stop, stopTokenIds, ignoreEos, skipSpecialTokens, seed, logProbs, promptLogProbs } = options;
    this.id = id;
    this.options = options;
    this.random = new Random(seed, 'generation', stream);
    this.before = new Set(options.repetitionPenalty === 1 ? [] : prompt);
    this.text = new TextStream(tools.tokenizer, { skipSpecialTokens, after: prompt.subarray(-CONTEXT) });
    this.stops = new StopStrings(stop);
    this.endTokens = new Set([...stopTokenIds, ...(ignoreEos ? [] : tools.boundaries.ends)]);
    if (logProbs !== undefined) this.logProbs = new LogProbsBuilder(logProbs);
    if (promptLogProbs !== undefined) {
      this.promptLogProbs = new LogProbsBuilder(promptLogProbs);
      this.promptLogProbs.first();
    }
  }

  /** The token that the model reads next. */
  get unread(): number {
    return this.last;
  }

  /** Of the interventions of its arm. */
  get strength(): number {
    return this.options.arm === undefined ? 0 : (this.options.strength ?? 1);
  }

  /** Whether logits are wanted after every token of the prompt. */
  get readsAll(): boolean {
    return this.promptLogProbs !== undefined;
  }

  /** Tokens that may have to be kept of it. */
  get reserved(): number {
    return Math.min(this.prompt.length + this.options.maxTokens, this.tools.context);
  }

  /** Takes the logits after a token of the prompt, which must come in order. */
  takePrompt(position: number, logits: Float32Array): void {
    if (position + 1 === this.prompt.length) {
      if (this.options.maxTokens > 0) this.take(logits);
      else this.finish('length');
    } else if (!this.ended) this.attempt(() => this.promptLogProbs?.add(logits, this.prompt[position + 1]));
  }

  /** Takes the logits after its last token, and chooses the next. */
  take(logits: Float32Array): void {
    if (!this.ended) this.attempt(() => this.goOn(logits));
  }

  get ended(): boolean {
    return this.failure !== undefined || this.finishReason !== undefined;
  }

  /** Ends it here. */
  finish(reason: FinishReason): void {
    if (this.ended) return;
    this.newText += this.stops.push(this.text.end());
    this.newText += this.stops.end();
    this.stoppedBy ??= this.stops.found;
    this.finishReason = this.stops.found === undefined ? reason : 'stop';
  }

  /** What is new, if anything can be told of it by now. */
  news(): GenerationUpdate[] {
    const { finishReason, promptLogProbs, stoppedBy } = this;
    if (this.told || (this.newText === '' && finishReason === undefined)) return [];
    const update: GenerationUpdate = {
      id: this.id,
      text: this.newText,
      tokenIds: this.newIds,
      ...(this.logProbs && { logProbs: this.logProbs.take() }),
    };
    this.newText = '';
    this.newIds = [];
    if (finishReason === undefined) return [update];
    this.told = true;
    return [
      {
        ...update,
        end: {
          finishReason,
          ...(stoppedBy !== undefined && { stoppedBy }),
          promptIds: this.prompt,
          ...(promptLogProbs && { promptLogProbs: promptLogProbs.take() }),
        },
      },
    ];
  }

  private goOn(logits: Float32Array): void {
    const { options, tools } = this;
    const id = tools.nextToken.choose(logits, options, this.before, this.random);
    this.logProbs?.add(logits, id);
    this.last = id;
    this.generated++;
    this.newIds.push(id);
    if (options.repetitionPenalty !== 1) this.before.add(id);
    if (this.endTokens.has(id)) {
      this.stoppedBy = id;
      this.finish('stop');
      return;
    }
    this.newText += this.stops.push(this.text.push(id));
    if (this.stops.found !== undefined) this.finish('stop');
    else if (this.generated === options.maxTokens || this.isFull) this.finish('length');
  }

  /** What goes wrong with one is no other's business. */
  private attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.failure = error;
    }
  }

  /** The model takes no token beyond its context, so that none follows its last. */
  private get isFull(): boolean {
    return this.prompt.length + this.generated > this.tools.context;
  }
}
