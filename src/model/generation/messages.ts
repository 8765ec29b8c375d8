/** @file What the thread that generates is told, and what it tells. */
import type { ErrorCode } from '../../errors.js';
import { MoralscopeError } from '../../errors.js';
import type { ProgressEvent } from '../../progress.js';
import type { Intervention } from '../intervention.js';
import type { Arms } from './arms.js';
import type { LogProbs } from './log-probs.js';
import type { GenerationOptions, GeneratorOptions } from './options.js';

/** Text, or token ids as they are. */
export type Prompt = string | Int32Array;

export type FinishReason = 'stop' | 'length' | 'cancelled';

/** What the thread is started with. */
export interface GenerationThreadData {
  /** Name of the model, for messages. */
  model: string;
  checkpoint: { path: string; sha256: string };
  /** Number of the model's parameters. */
  parameters: number;
  threads: number | undefined;
  options: GeneratorOptions;
  arms: Arms;
}

export interface GenerationRequest {
  id: number;
  prompt: Prompt;
  options: GenerationOptions;
  /** Names its random numbers, together with the seed. */
  stream: number;
  /** Before it began. */
  cancelled: boolean;
}

export type GenerationCommand =
  /** These begin together. */
  | { kind: 'add'; requests: GenerationRequest[] }
  | { kind: 'cancel'; id: number }
  | { kind: 'arm'; name: string; interventions: readonly Intervention[] }
  /** Also while it is opening. */
  | { kind: 'close' };

/** What is new of a request. */
export interface GenerationUpdate {
  id: number;
  text: string;
  tokenIds: number[];
  logProbs?: LogProbs;
  end?: GenerationEnd;
}

export interface GenerationEnd {
  finishReason: FinishReason;
  stoppedBy?: string | number;
  promptIds: Int32Array;
  promptLogProbs?: LogProbs;
}

export type GenerationReply =
  | { kind: 'progress'; event: ProgressEvent }
  | { kind: 'ready'; endTokens: number[] }
  | { kind: 'updates'; updates: GenerationUpdate[] }
  | { kind: 'failed'; id: number; error: SentError }
  /** The thread ends. */
  | { kind: 'lost'; error: SentError };

/** An error as it can be sent to another thread. */
export interface SentError {
  code?: ErrorCode;
  message: string;
  fix?: string;
  stack?: string;
}

export function toSent(error: unknown): SentError {
  const { message, stack } = error as Error;
  const known = error instanceof MoralscopeError ? { code: error.code, ...(error.fix !== undefined && { fix: error.fix }) } : {};
  return { ...known, message, ...(stack !== undefined && { stack }) };
}

export function fromSent({ code, message, fix, stack }: SentError): Error {
  return code ? new MoralscopeError(code, message, fix) : Object.assign(new Error(message), { stack });
}
