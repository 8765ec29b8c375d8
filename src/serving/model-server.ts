import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { MoralscopeError } from '../errors.js';
import { refusal } from './api-error.js';
import { makeApp } from './app.js';
import { ModelService } from './model-service.js';
import type { SteeredModel } from './steered-model.js';

export interface ModelServerOptions {
  /** Default: 127.0.0.1. */
  host?: string | undefined;
  /** 0: any that is free. Default: 8321. */
  port?: number | undefined;
  /** Asked of every client as a Bearer token. */
  apiKey?: string | undefined;
  /** Further names of this server that a Host header may say. */
  hosts?: readonly string[] | undefined;
  /** Origins whose pages may ask. */
  origins?: readonly string[] | undefined;
  /** Texts that are gone on with at once; default: 16, as for the model. */
  batch?: number | undefined;
  /** Texts that may wait beside them; default: 256. */
  queue?: number | undefined;
  /** Tokens of a chat's answer where a request does not say; default: 1024. */
  maxTokens?: number | undefined;
  /** Bytes of a body, at most; default: 8 MiB. */
  maxBody?: number | undefined;
  /** Milliseconds that running requests have once the server is to stop; default: 30,000. */
  patience?: number | undefined;
  /** Told of each request: method, path, status and time. */
  onRequest?: ((line: string) => void) | undefined;
  /** Told of defects; default: they are written to stderr. */
  onDefect?: ((error: unknown) => void) | undefined;
}

/** Clients keep connections for their next request; a longer time than they do loses none of those. */
const KEEP_ALIVE = 75_000;

/**
 * A model behind OpenAI's HTTP API.
 *
 * @example
 * const model = await SteeredModel.open('smollm2-135m', { remedies: ['runs/remedy'] });
 * const server = await ModelServer.start(model, { port: 0 });
 * const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' });
 * await server.stop();
 */
export class ModelServer {
  private constructor(
    private readonly http: Server,
    readonly service: ModelService,
    /** Where it listens, e.g. `http://127.0.0.1:8321`. */
    readonly url: string,
    private readonly patience: number,
  ) {}

  /** @throws MoralscopeError `misuse` where the address cannot be listened at, and what `SteeredModel.start` throws */
  static async start(model: SteeredModel, options: ModelServerOptions = {}): Promise<ModelServer> {
    const { host = '127.0.0.1', port = 8321, apiKey, hosts = [], origins = [], onRequest, patience = 30_000 } = options;
    const { batch = 16, queue = 256, maxTokens = 1024, maxBody = 8 << 20 } = options;
    const { onDefect = (error) => process.stderr.write(`${error instanceof Error ? error.stack : error}\n`) } = options;
    const service = new ModelService(model, await model.start(), { batch, queue, maxTokens, onDefect });
    const app = makeApp(service, { host, hosts, origins, apiKey, maxBody, onRequest, onDefect });
    const listener = getRequestListener(app.fetch, {
      // A program that has a server in it keeps the Request and Response that it had.
      overrideGlobalObjects: false,
      errorHandler: () => refusal(400, 'The request is malformed.', { code: 'malformed_request' }).getResponse(),
    });
    const http = createServer({ keepAliveTimeout: KEEP_ALIVE }, listener);
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject);
      http.listen(port, host.replace(/^\[|\]$/g, ''), () => {
        http.off('error', reject);
        http.on('error', onDefect);
        resolve();
      });
    }).catch((cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'another program listens there' : cause.message;
      throw new MoralscopeError('misuse', `Cannot listen at ${host}:${port}: ${why}.`, 'Choose another --port or --host.', {
        cause,
      });
    });
    const { port: taken } = http.address() as AddressInfo;
    const name = host.includes(':') ? `[${host.replace(/^\[|\]$/g, '')}]` : host;
    return new ModelServer(http, service, `http://${name}:${taken}`, patience);
  }

  /** Refuses what is new, lets what runs come to its end, and ends what does not in time. The model stays open. */
  async stop(): Promise<void> {
    await this.service.stop(this.patience);
    const closed = new Promise<void>((resolve) => this.http.close(() => resolve()));
    this.http.closeIdleConnections();
    // The last answers are on their way.
    const cut = setTimeout(() => this.http.closeAllConnections(), 1000);
    await closed;
    clearTimeout(cut);
  }
}
