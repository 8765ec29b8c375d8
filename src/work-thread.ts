import { parentPort, Worker, workerData } from 'node:worker_threads';
import type { z } from 'zod';
import { type ErrorCode, MoralscopeError } from './errors.js';
import { parseOptions } from './options.js';
import type { ProgressEvent, WorkOptions } from './progress.js';

type Message<Result> =
  | { progress: ProgressEvent }
  | { result: Result }
  | { error: { code?: ErrorCode; message: string; fix?: string; stack?: string } };

/**
 * Runs long work in a thread of its own, so that the one that asks stays free. Data and result are structured-cloned; progress is
 * reported and cancellation passed on, which the work heeds at its own halts.
 * @param module the thread's module, which calls `serveWork`
 * @throws what the work throws
 */
export async function runInThread<Data, Result>(module: URL, data: Data, { onProgress, signal }: WorkOptions): Promise<Result> {
  // Flags of the process, such as --input-type of a script given on the command line, do not suit the thread.
  const worker = new Worker(module, { workerData: data, execArgv: [] });
  const stop = () => worker.postMessage('stop');
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<Result>((resolve, reject) => {
      let outcome: (() => void) | undefined;
      worker.on('message', (message: Message<Result>) => {
        if ('progress' in message) onProgress?.(message.progress);
        else if ('result' in message) outcome = () => resolve(message.result);
        else {
          const { code, message: text, fix, stack } = message.error;
          const error = code ? new MoralscopeError(code, text, fix) : Object.assign(new Error(text), { stack });
          outcome = () => reject(error);
        }
      });
      worker.on('error', reject);
      // Only once it has ended is nothing open any more.
      worker.on('exit', (status) => (outcome ?? (() => reject(new Error(`A worker thread ended with status ${status}.`))))());
    });
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/**
 * Checks options and fills in what they leave out, then runs the work on them in a thread of its own.
 * @throws MoralscopeError `misuse` that names the option, and what the work throws
 */
export async function runOnOptions<Schema extends z.ZodObject, Result>(
  module: URL,
  schema: Schema,
  { onProgress, signal, ...given }: z.input<Schema> & WorkOptions,
): Promise<Result> {
  return runInThread(module, parseOptions(schema, given), { onProgress, signal });
}

/** Called by the thread's module. */
export async function serveWork<Data, Result>(
  work: (data: Data, options: Required<Pick<WorkOptions, 'onProgress' | 'signal'>>) => Promise<Result>,
): Promise<void> {
  const port = parentPort!;
  const stop = new AbortController();
  port.on('message', () => stop.abort());
  const send = (message: Message<Result>) => port.postMessage(message);
  try {
    send({ result: await work(workerData as Data, { onProgress: (progress) => send({ progress }), signal: stop.signal }) });
  } catch (error) {
    const { message, stack } = error as Error;
    const known =
      error instanceof MoralscopeError ? { code: error.code, ...(error.fix !== undefined && { fix: error.fix }) } : {};
    send({ error: { ...known, message, ...(stack !== undefined && { stack }) } });
  } finally {
    port.close();
  }
}
