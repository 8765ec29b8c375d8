import { once } from 'node:events';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { cancelled, type ErrorCode, MoralscopeError } from '../errors.js';

type Request<Task> = { task: Task } | 'close';
type Reply<Result> = { result: Result } | { error: { code?: ErrorCode; message: string; fix?: string; stack?: string } };

interface Waiting<Task, Result> {
  task: Task;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

/** Worker threads that share a list of tasks, one task at a time each. Results and tasks are structured-cloned. */
export class Crew<Task, Result> {
  private readonly idle: Worker[] = [];
  private readonly queue: Waiting<Task, Result>[] = [];
  private readonly busy = new Map<Worker, Waiting<Task, Result>>();
  private failure: unknown;
  private closed: Promise<void> | undefined;

  /** @param module the worker's module, which calls `serveCrew`; @param data what every worker starts with */
  constructor(module: URL, data: unknown, threads: number) {
    for (let t = 0; t < threads; t++) {
      const worker = new Worker(module, { workerData: data, execArgv: [] });
      worker.on('message', (reply: Reply<Result>) => this.settle(worker, reply));
      worker.on('error', (error) => this.fail(error));
      worker.on('exit', (code) => this.fail(new Error(`A worker thread ended with status ${code}.`)));
      this.idle.push(worker);
    }
  }

  /** Runs the task on the next free worker. Rejects with the worker's MoralscopeError. */
  run(task: Task): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.failure !== undefined) return reject(this.failure);
      this.queue.push({ task, resolve, reject });
      this.next();
    });
  }

  /** Ends the workers, each at its next halt; tasks that have not ended never will. */
  async close(): Promise<void> {
    this.failure ??= cancelled();
    for (const { reject } of [...this.queue.splice(0), ...this.busy.values()]) reject(this.failure);
    this.closed ??= Promise.all([...this.idle, ...this.busy.keys()].map(end)).then(() => {});
    await this.closed;
  }

  private next(): void {
    while (this.idle.length && this.queue.length) {
      const worker = this.idle.pop()!;
      const waiting = this.queue.shift()!;
      this.busy.set(worker, waiting);
      worker.postMessage({ task: waiting.task } satisfies Request<Task>);
    }
  }

  private settle(worker: Worker, reply: Reply<Result>): void {
    const waiting = this.busy.get(worker);
    this.busy.delete(worker);
    this.idle.push(worker);
    if ('result' in reply) waiting?.resolve(reply.result);
    else {
      const { code, message, fix, stack } = reply.error;
      waiting?.reject(code ? new MoralscopeError(code, message, fix) : Object.assign(new Error(message), { stack }));
    }
    this.next();
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    for (const { reject } of [...this.queue.splice(0), ...this.busy.values()]) reject(error);
  }
}

/** A worker that does not halt by itself in this time is cut off. */
const PATIENCE = 20_000;

/** To cut a thread off inside a native call would take the whole process down, so it is asked to end. */
async function end(worker: Worker): Promise<void> {
  if (worker.threadId === -1) return;
  const exit = once(worker, 'exit').catch(() => {});
  worker.postMessage('close' satisfies Request<never>);
  const impatience = setTimeout(() => void worker.terminate(), PATIENCE);
  await exit;
  clearTimeout(impatience);
}

/** What a worker's module makes of its data. */
export interface CrewWorker<Task, Result> {
  work(task: Task): Promise<Result>;
  close?(): Promise<void>;
}

/**
 * Called by the worker's module.
 * @param open makes the worker ready; the signal fires when the crew closes, and the task under way should then throw
 */
export function serveCrew<Data, Task, Result>(
  open: (data: Data, signal: AbortSignal) => Promise<CrewWorker<Task, Result>>,
): void {
  const port = parentPort!;
  const stop = new AbortController();
  const ready = open(workerData as Data, stop.signal);
  ready.catch(() => {}); // told with the first task
  let underWay: Promise<void> = Promise.resolve();
  port.on('message', async (request: Request<Task>) => {
    if (request !== 'close') {
      underWay = answer(request.task);
      return;
    }
    stop.abort();
    await underWay;
    await (await ready.catch(() => undefined))?.close?.();
    port.close();
  });

  async function answer(task: Task): Promise<void> {
    let reply: Reply<Result>;
    try {
      reply = { result: await (await ready).work(task) };
    } catch (error) {
      const { message, stack } = error as Error;
      const known =
        error instanceof MoralscopeError ? { code: error.code, ...(error.fix !== undefined && { fix: error.fix }) } : {};
      reply = { error: { ...known, message, ...(stack !== undefined && { stack }) } };
    }
    port.postMessage(reply);
  }
}
