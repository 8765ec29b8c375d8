import { joinLogProbs, type LogProbs } from './log-probs.js';
import type { FinishReason, GenerationUpdate } from './messages.js';

/** A text that was generated. */
export interface Generation {
  /** Without the stop string that it ended before. */
  readonly text: string;
  /** All that were generated, the one that ended it and those of the stop string too. */
  readonly tokenIds: Int32Array;
  /** `stop`: at an end token or a stop string; `length`: at maxTokens or the end of the context; `cancelled`. */
  readonly finishReason: FinishReason;
  /** The token id or the string that it stopped at. */
  readonly stoppedBy?: string | number;
  /** A row a token of `tokenIds`, where they were asked for. */
  readonly logProbs?: LogProbs;
  /** Token ids of the prompt as the model read them. */
  readonly promptIds: Int32Array;
  /** A row a token of `promptIds` as far as they were read, where they were asked for. */
  readonly promptLogProbs?: LogProbs;
}

/** What is new of a text: the pieces' texts, ids and log-probabilities one after another are the whole. */
export interface GenerationPiece {
  readonly text: string;
  /** Those whose text it is, or the end of it. */
  readonly tokenIds: readonly number[];
  readonly logProbs?: LogProbs;
  /** Of the last piece. */
  readonly finishReason?: FinishReason;
}

/**
 * A text while it is generated: `for await (const { text } of stream)`, once. To leave the loop early cancels it. `result` is the
 * whole text, whether the pieces are read or not.
 */
export class GenerationStream implements AsyncIterable<GenerationPiece> {
  readonly result: Promise<Generation>;
  private resolve!: (generation: Generation) => void;
  private reject!: (error: unknown) => void;
  private readonly unread: GenerationPiece[] = [];
  private readonly updates: GenerationUpdate[] = [];
  private ended = false;
  private failure: unknown;
  private wake: (() => void) | undefined;

  constructor(private readonly cancel: () => void) {
    this.result = new Promise<Generation>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Who reads the pieces is told there.
    this.result.catch(() => {});
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationPiece, void, undefined> {
    try {
      for (;;) {
        yield* this.unread.splice(0);
        if (this.unread.length > 0) continue;
        if (this.failure !== undefined) throw this.failure;
        if (this.ended) return;
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    } finally {
      if (!this.ended) this.cancel();
    }
  }

  /** Called by the generator. */
  add(update: GenerationUpdate): void {
    const { text, tokenIds, logProbs, end } = update;
    this.updates.push(update);
    this.unread.push({ text, tokenIds, ...(logProbs && { logProbs }), ...(end && { finishReason: end.finishReason }) });
    if (end) {
      this.ended = true;
      const parts = this.updates;
      const joined = joinLogProbs(parts.flatMap((part) => part.logProbs ?? []));
      this.resolve({
        text: parts.map((part) => part.text).join(''),
        tokenIds: Int32Array.from(parts.flatMap((part) => part.tokenIds)),
        ...end,
        ...(logProbs && { logProbs: joined }),
      });
    }
    this.wake?.();
  }

  /** Called by the generator. */
  fail(error: unknown): void {
    this.ended = true;
    this.failure = error;
    this.reject(error);
    this.wake?.();
  }
}
