import { Worker } from 'node:worker_threads';
import type { GraphOptions, GraphTensor } from './session.js';
import type { GraphReply, GraphRequest, GraphWorkerData } from './worker.js';

type Results = Record<string, GraphTensor>;

/** A `GraphSession` in a thread of its own: runs do not block the caller's. Feeds are copied, results are moved. */
export class GraphWorker {
  private readonly waiting = new Map<number, { resolve: (results: Results) => void; reject: (error: Error) => void }>();
  private requests = 0;
  private ended: Error | undefined;

  private constructor(private readonly worker: Worker) {
    worker.on('message', (reply: GraphReply) => {
      const { resolve, reject } = this.waiting.get(reply.id)!;
      this.waiting.delete(reply.id);
      if ('error' in reply) reject(reply.error);
      else resolve(reply.results);
    });
    worker.on('error', (error) => this.end(error));
    worker.on('exit', () => this.end(new Error('The thread of a graph has ended.')));
  }

  /** @param model the bytes of an .onnx file, or its path */
  static async open(model: string | Uint8Array, options: GraphOptions = {}): Promise<GraphWorker> {
    const data: GraphWorkerData = { model, options };
    const opened = new GraphWorker(new Worker(new URL('./worker.js', import.meta.url), { workerData: data }));
    try {
      await opened.reply(0);
    } catch (error) {
      await opened.close();
      throw error;
    }
    return opened;
  }

  /** Computes the named outputs (default: all of them). Requests are worked off in order. */
  run(feeds: Readonly<Record<string, GraphTensor>>, outputs?: readonly string[]): Promise<Results> {
    const request: GraphRequest = { id: ++this.requests, feeds, outputs };
    const results = this.reply(request.id);
    this.worker.postMessage(request);
    return results;
  }

  /** Ends the thread; runs that are not done fail. */
  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private reply(id: number): Promise<Results> {
    if (this.ended) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  private end(error: Error): void {
    this.ended ??= error;
    for (const { reject } of this.waiting.values()) reject(this.ended);
    this.waiting.clear();
  }
}
