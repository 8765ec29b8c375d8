/** @file The thread behind a `GraphWorker`: opens the graph it is given and runs it for each request, in order. */
import { parentPort, workerData } from 'node:worker_threads';
import { type GraphOptions, GraphSession, type GraphTensor } from './session.js';

export interface GraphWorkerData {
  model: string | Uint8Array;
  options: GraphOptions;
}

export interface GraphRequest {
  id: number;
  feeds: Readonly<Record<string, GraphTensor>>;
  outputs: readonly string[] | undefined;
}

/** Id 0 says whether the graph was opened. */
export type GraphReply = { id: number; results: Record<string, GraphTensor> } | { id: number; error: Error };

const port = parentPort!;
const reply = (message: GraphReply): void => {
  const buffers = 'results' in message ? Object.values(message.results).map(({ data }) => data.buffer as ArrayBuffer) : [];
  port.postMessage(message, [...new Set(buffers)]);
};
const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

const { model, options } = workerData as GraphWorkerData;
try {
  const session = await GraphSession.open(model, options);
  port.on('message', ({ id, feeds, outputs }: GraphRequest) => {
    session.run(feeds, outputs).then(
      (results) => reply({ id, results }),
      (error) => reply({ id, error: asError(error) }),
    );
  });
  reply({ id: 0, results: {} });
} catch (error) {
  reply({ id: 0, error: asError(error) });
}
