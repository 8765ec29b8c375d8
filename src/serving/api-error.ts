/** @file Errors as OpenAI's API tells them: `{"error": {"message", "type", "param", "code"}}`. */
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { type ErrorCode, MoralscopeError } from '../errors.js';

export interface ApiError {
  readonly message: string;
  readonly type: 'invalid_request_error' | 'authentication_error' | 'permission_error' | 'rate_limit_error' | 'server_error';
  /** The field of the body that is wrong. */
  readonly param: string | null;
  readonly code: string | null;
}

/** What a refusal says beside its message. */
export interface RefusalDetails {
  code: string;
  param?: string;
  headers?: Readonly<Record<string, string>>;
}

/** A refusal of a request, to be thrown. */
export function refusal(status: ContentfulStatusCode, message: string, { code, param, headers }: RefusalDetails): HTTPException {
  const error: ApiError = { message, type: typeOf(status), param: param ?? null, code };
  const res = Response.json({ error }, { status, ...(headers && { headers }) });
  return new HTTPException(status, { message, res, cause: error });
}

/** What a refusal says, where its status cannot be told any more. */
export function errorOf(refused: HTTPException): ApiError {
  return refused.cause as ApiError;
}

/** The refusal that stands for an error of the library; undefined for a defect, which is nobody else's to know. */
export function refusalOf(error: unknown, param?: string): HTTPException | undefined {
  if (error instanceof HTTPException) return error;
  if (!(error instanceof MoralscopeError)) return undefined;
  const message = error.fix ? `${error.message} ${error.fix}` : error.message;
  return refusal(STATUS[error.code] ?? 500, message, {
    code: error.code.replace('-', '_'),
    ...(param !== undefined && { param }),
  });
}

export const DEFECT: ApiError = {
  message: 'The server failed. Its own log says why.',
  type: 'server_error',
  param: null,
  code: 'internal_error',
};

const STATUS: Partial<Record<ErrorCode, ContentfulStatusCode>> = {
  misuse: 400,
  'bad-data': 400,
  unsupported: 400,
  'not-found': 404,
  cancelled: 503,
};

function typeOf(status: number): ApiError['type'] {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}
