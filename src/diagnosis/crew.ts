import { parentPort, Worker, workerData } from 'node:worker_threads';
import { cancelled, type ErrorCode, MoralscopeError } from '../errors.js';

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

  /** Ends the workers; tasks that have not ended never will. */
  async close(): Promise<void> {
    this.failure ??= cancelled();
    for (const { reject } of [...this.queue.splice(0), ...this.busy.values()]) reject(this.failure);
    await Promise.all([...this.idle, ...this.busy.keys()].map((worker) => worker.terminate()));
  }

  private next(): void {
    while (this.idle.length && this.queue.length) {
      const worker = this.idle.pop()!;
      const waiting = this.queue.shift()!;
      this.busy.set(worker, waiting);
      worker.postMessage(waiting.task);
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

/** Called by the worker's module: `open` makes the worker ready from its data and returns what does a task. */
export function serveCrew<Data, Task, Result>(open: (data: Data) => Promise<(task: Task) => Promise<Result>>): void {
  const ready = open(workerData as Data);
  ready.catch(() => {}); // told with the first task
  parentPort!.on('message', async (task: Task) => {
    try {
      const work = await ready;
      parentPort!.postMessage({ result: await work(task) } satisfies Reply<Result>);
    } catch (error) {
      const { message, stack } = error as Error;
      const known =
        error instanceof MoralscopeError ? { code: error.code, ...(error.fix !== undefined && { fix: error.fix }) } : {};
      parentPort!.postMessage({ error: { ...known, message, ...(stack !== undefined && { stack }) } } satisfies Reply<Result>);
    }
  });
}
