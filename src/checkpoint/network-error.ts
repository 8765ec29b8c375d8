import { MoralscopeError } from '../errors.js';

const DNS = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'ENODATA']);
const TLS = /CERT|SELF_SIGNED|UNABLE_TO_|TLS|SSL|EPROTO/;
const TRY_LATER = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A failure of one HTTP request: `transient` ones are worth another try. */
export class RequestFailure extends Error {
  constructor(
    readonly transient: boolean,
    /** What happened, for the user: one clause without a full stop. */
    readonly what: string,
    readonly fix?: string,
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
    readonly code: 'network' | 'not-found' = 'network',
  ) {
    super(what, options);
  }

  toError(): MoralscopeError {
    return new MoralscopeError(this.code, `${this.what}.`, this.fix, { cause: this.cause ?? this });
  }
}

/** The address without user, password and query, which may be secrets. */
export function publicUrl(url: string | URL): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}

/** What a refusal by the server means; call it for any status that is not a success. */
export function statusFailure(response: Response, url: string): RequestFailure {
  const { status } = response;
  const where = publicUrl(url);
  if (status === 404 || status === 410)
    return new RequestFailure(
      false,
      `${where} does not exist (HTTP ${status})`,
      'Check the name and the version.',
      undefined,
      undefined,
      'not-found',
    );
  if (status === 401 || status === 403)
    return new RequestFailure(
      false,
      `${where} refuses access (HTTP ${status})`,
      'If it is a gated or private repository, accept its terms and set HF_TOKEN.',
    );
  const seconds = Number(response.headers.get('retry-after'));
  const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
  const transient = TRY_LATER.has(status);
  return new RequestFailure(
    transient,
    `${where} answered HTTP ${status}`,
    transient ? 'The server has a problem; run the same command again later.' : undefined,
    retryAfterMs,
  );
}

/** What an error thrown by fetch, or while its body was read, means. */
export function connectionFailure(error: unknown, url: string): RequestFailure {
  if (error instanceof RequestFailure) return error;
  const { host, hostname } = new URL(url);
  const code = codeOf(error);
  const failure = (transient: boolean, what: string, fix: string) =>
    new RequestFailure(transient, what, proxyAdvice() ?? fix, undefined, { cause: error });
  if (DNS.has(code))
    return failure(true, `the host name ${hostname} cannot be resolved (${code})`, 'Check the network connection.');
  if (code === 'ECONNREFUSED')
    return failure(true, `${host} refuses connections (ECONNREFUSED)`, 'Check the network connection and the address.');
  if (TLS.test(code))
    return failure(
      false,
      `the secure connection to ${host} failed (${code})`,
      'Behind a company proxy, point NODE_EXTRA_CA_CERTS at its certificate.',
    );
  const cause = (error as Error).cause;
  const why = code || (cause instanceof Error ? cause.message : (error as Error).message);
  return failure(
    why !== 'bad port',
    `the connection to ${host} broke (${why})`,
    'Run the same command again; it goes on where it stopped.',
  );
}

/** Node 20's fetch uses no proxy; Node 22.21 and 24 do when NODE_USE_ENV_PROXY is set. pip always does. */
function proxyAdvice(): string | undefined {
  const { HTTPS_PROXY, https_proxy, NODE_USE_ENV_PROXY } = process.env;
  if (!(HTTPS_PROXY || https_proxy) || NODE_USE_ENV_PROXY) return undefined;
  return 'HTTPS_PROXY is set, which Node heeds from 22.21 or 24 on and only with NODE_USE_ENV_PROXY=1; pip heeds it always.';
}

function codeOf(error: unknown): string {
  for (let e = error as { code?: unknown; cause?: unknown; errors?: unknown[] } | undefined; e; ) {
    if (typeof e.code === 'string') return e.code;
    e = (e.cause ?? e.errors?.[0]) as typeof e;
  }
  return '';
}
