/** @file The routes of the server: who is let in, and how errors are told. */
import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { DEFECT, refusal, refusalOf } from './api-error.js';
import { checkKey, checkSource, type GuardOptions } from './guard.js';
import type { ModelService } from './model-service.js';
import { readBody } from './request-body.js';
import { detokenize, tokenize, tokenizerInfo } from './tokenizer-service.js';

export interface AppOptions extends GuardOptions {
  /** Bytes of a body, at most. */
  maxBody: number;
  /** Told of each request once it is answered, or begins to be: nothing of its content. */
  onRequest?: ((line: string) => void) | undefined;
  /** Told of what is a defect of the server. */
  onDefect: (error: unknown) => void;
}

export type Environment = { Bindings: HttpBindings };

/** POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /v1/models/ID, GET /health, and the tokenizer. */
export function makeApp(service: ModelService, options: AppOptions): Hono<Environment> {
  const { maxBody, origins, onRequest, onDefect } = options;
  const app = new Hono<Environment>();
  app.onError((error, c) => {
    // The client is gone, and nobody reads this.
    if (c.req.raw.signal.aborted) return new Response(null, { status: 499 });
    const known = refusalOf(error);
    if (!known) onDefect(error);
    return known?.getResponse() ?? c.json({ error: DEFECT }, 500);
  });
  app.notFound((c) => {
    const known = ['/health', '/v1/models', '/v1/completions', '/v1/chat/completions'].includes(c.req.path);
    const what = `${c.req.method} ${c.req.path}`;
    return known
      ? refusal(405, `${what} is not allowed.`, { code: 'method_not_allowed' }).getResponse()
      : refusal(404, `There is no ${what} here.`, { code: 'unknown_url' }).getResponse();
  });
  if (onRequest)
    app.use(async (c, next) => {
      const begun = performance.now();
      await next();
      onRequest(`${c.req.method} ${c.req.path} ${c.res.status} ${Math.round(performance.now() - begun)} ms`);
    });
  app.use(checkSource(options));
  if (origins.length > 0) app.use(cors({ origin: [...origins], allowHeaders: ['authorization', 'content-type'] }));
  app.get('/health', (c) =>
    c.json({ status: service.stopping ? 'stopping' : 'ok', model: service.name }, service.stopping ? 503 : 200),
  );
  app.use('/v1/*', checkKey(options));
  app.get('/v1/models', (c) => c.json({ object: 'list', data: service.models() }));
  app.get('/v1/models/:id{.+}', (c) => c.json(service.model(c.req.param('id'))));
  const body = (c: Context) => readBody(c.req.raw, maxBody);
  const { tokenizer, context } = service;
  for (const path of ['/tokenizer_info', '/tokenize', '/detokenize']) app.use(path, checkKey(options));
  app.get('/tokenizer_info', (c) => c.json(tokenizerInfo(tokenizer)));
  app.post('/tokenize', async (c) => c.json(tokenize(tokenizer, context, await body(c))));
  app.post('/detokenize', async (c) => c.json(detokenize(tokenizer, await body(c))));
  app.post('/v1/chat/completions', async (c) => service.chat(await body(c), c.req.raw.signal));
  app.post('/v1/completions', async (c) => service.complete(await body(c), c.req.raw.signal));
  return app;
}
