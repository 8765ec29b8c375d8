import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { diskError, writeFileAtomic } from '../artifact/files.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import type { WorkOptions } from '../progress.js';
import { requireFreeSpace } from './disk-space.js';
import { connectionFailure, publicUrl, RequestFailure, statusFailure } from './network-error.js';

export interface RequestOptions extends WorkOptions {
  headers?: Record<string, string> | undefined;
  /** Tries without any progress before giving up; 5 unless told. */
  tries?: number | undefined;
  /** Milliseconds without a byte after which a connection counts as dead; 30,000 unless told. */
  stallMs?: number | undefined;
  /** Pause before the second try, doubled for each further one up to 16 times; 500 unless told. */
  backoffMs?: number | undefined;
}

export interface DownloadOptions extends RequestOptions {
  /** What the progress is called. */
  task: string;
  /** sha256 the content must have, lower-case hex. */
  sha256?: string | undefined;
  /** Size the content must have. */
  bytes?: number | undefined;
}

/** Content so short that a connection which only ever gives this much before it breaks makes no progress. */
const PROGRESS_BYTES = 1 << 16;
const MAX_TEXT_BYTES = 64 << 20;

/**
 * Downloads `url` to the file `to`, which appears only when whole and, where a sha256 or size is given, right.
 * Until then the bytes lie in `to`.part, and a later call goes on from there (Range with If-Range) after an interruption of any
 * kind. Broken or silent connections, 5xx and 429 are tried again. HTTPS_PROXY is not heeded by Node 20 (see network-error.ts).
 * @throws MoralscopeError `network`, `bad-file` (wrong content, which is removed), `disk` (asked for before the first byte is
 * written, where the server tells the size), `cancelled`.
 */
export async function download(url: string, to: string, options: DownloadOptions): Promise<{ bytes: number; sha256: string }> {
  const part = await Part.open(`${to}.part`, url);
  try {
    await retrying(
      options,
      async (signal, alive) => {
        const before = part.bytes;
        try {
          await fetchInto(part, url, options, signal, alive);
        } catch (error) {
          if (part.bytes - before >= PROGRESS_BYTES && error instanceof RequestFailure) throw new Progressed(error);
          throw error;
        }
      },
      url,
    );
    const found = { bytes: part.bytes, sha256: part.digest() };
    const expected = options.sha256;
    const wrong =
      expected !== undefined && found.sha256 !== expected
        ? `has sha256 ${found.sha256}, expected ${expected}`
        : options.bytes !== undefined && found.bytes !== options.bytes
          ? `has ${found.bytes} bytes, expected ${options.bytes}`
          : undefined;
    if (wrong !== undefined) {
      await part.remove();
      throw new MoralscopeError(
        'bad-file',
        `${publicUrl(url)} ${wrong}; it was removed.`,
        'Pull it again; if that does not help, the source has changed.',
      );
    }
    await part.finish(to);
    return found;
  } finally {
    await part.close();
  }
}

/** Fetches a short text or JSON document; `url` in the answer is where redirects led. Throws `network` or `cancelled`. */
export async function fetchText(
  url: string,
  options: RequestOptions = {},
): Promise<{ text: string; url: string; headers: Headers }> {
  return retrying(
    options,
    async (signal, alive) => {
      const response = await request(url, options.headers ?? {}, signal);
      if (!response.ok) {
        await response.body?.cancel();
        throw statusFailure(response, url);
      }
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const chunk of response.body ?? []) {
        alive();
        bytes += chunk.length;
        if (bytes > MAX_TEXT_BYTES) throw new RequestFailure(false, `${publicUrl(url)} is absurdly long`);
        chunks.push(chunk);
      }
      return { text: Buffer.concat(chunks).toString('utf8'), url: response.url || url, headers: response.headers };
    },
    url,
  );
}

/** The headers of a document, not following redirects to other hosts; a redirect within the host is followed. */
export async function fetchHeaders(url: string, options: RequestOptions = {}): Promise<{ headers: Headers; url: string }> {
  return retrying(
    options,
    async (signal) => {
      let at = url;
      for (let hops = 0; hops < 5; hops++) {
        const response = await fetch(at, { method: 'HEAD', redirect: 'manual', signal, headers: plain(options.headers) });
        const location = response.headers.get('location');
        const next = location === null ? undefined : new URL(location, at);
        if (response.status >= 300 && response.status < 400 && next?.origin === new URL(at).origin) {
          at = next.href;
          continue;
        }
        if (response.status >= 400) throw statusFailure(response, url);
        return { headers: response.headers, url: at };
      }
      throw new RequestFailure(false, `${publicUrl(url)} redirects in a circle`);
    },
    url,
  );
}

/** A failure after new bytes came: the count of tries begins anew. */
class Progressed {
  constructor(readonly failure: RequestFailure) {}
}

async function retrying<T>(
  options: RequestOptions,
  attempt: (signal: AbortSignal, alive: () => void) => Promise<T>,
  url: string,
): Promise<T> {
  const { tries = 5, stallMs = 30_000, backoffMs = 500 } = options;
  for (let failed = 0; ; ) {
    throwIfCancelled(options.signal);
    const stalled = new AbortController();
    const timer = setTimeout(() => stalled.abort(), stallMs);
    const signal = options.signal ? AbortSignal.any([options.signal, stalled.signal]) : stalled.signal;
    let failure: RequestFailure;
    try {
      return await attempt(signal, () => timer.refresh());
    } catch (error) {
      throwIfCancelled(options.signal);
      if (error instanceof MoralscopeError) throw error;
      if (error instanceof Progressed) failed = 0;
      failure = connectionFailure(error instanceof Progressed ? error.failure : error, url);
      if (stalled.signal.aborted)
        failure = new RequestFailure(true, `${new URL(url).host} sent nothing for ${stallMs / 1000} s`, failure.fix);
    } finally {
      clearTimeout(timer);
    }
    failed++;
    if (!failure.transient || failed >= tries) throw failure.toError();
    const pause = Math.max(backoffMs * Math.min(2 ** (failed - 1), 16), Math.min(failure.retryAfterMs ?? 0, 60_000));
    await sleep(pause, undefined, options.signal && { signal: options.signal }).catch(() => {});
  }
}

async function fetchInto(
  part: Part,
  url: string,
  options: DownloadOptions,
  signal: AbortSignal,
  alive: () => void,
): Promise<void> {
  const validator = part.validator;
  // Without a validator, going on is safe only where a sha256 will tell whether the halves belong together.
  if (part.bytes > 0 && validator === undefined && options.sha256 === undefined) await part.restart();
  const from = part.bytes;
  if (from > 0 && from === options.bytes) return;
  const range = from > 0 ? { range: `bytes=${from}-`, ...(validator !== undefined && { 'if-range': validator }) } : {};
  const response = await request(url, { ...options.headers, ...range }, signal);
  alive();
  if (response.status === 416) {
    await response.body?.cancel();
    const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (from > 0 && Number(total) === from) return;
    await part.restart();
    throw new RequestFailure(true, `${publicUrl(url)} has changed on the server`);
  }
  if (!response.ok) {
    await response.body?.cancel();
    throw statusFailure(response, url);
  }
  if (response.status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
    if (Number(start) !== from) {
      await response.body?.cancel();
      await part.restart();
      throw new RequestFailure(true, `${publicUrl(url)} answered with another range than was asked for`);
    }
  } else if (from > 0) await part.restart();
  const length = response.headers.get('content-length');
  const total = length === null ? options.bytes : part.bytes + Number(length);
  try {
    if (options.bytes !== undefined && total !== undefined && total !== options.bytes) {
      await part.remove();
      throw new MoralscopeError(
        'bad-file',
        `${publicUrl(url)} has ${total} bytes, expected ${options.bytes}.`,
        'The source has changed, or something between here and there answers in its stead.',
      );
    }
    if (total !== undefined) await requireFreeSpace(dirname(part.path), total - part.bytes);
    await part.remember(response);
    options.onProgress?.({ task: options.task, done: part.bytes, ...(total !== undefined && { total }), unit: 'bytes' });
    for await (const chunk of response.body ?? []) {
      alive();
      if (total !== undefined && part.bytes + chunk.length > total)
        throw new RequestFailure(false, `${publicUrl(url)} is longer than it said`);
      await part.append(chunk);
      options.onProgress?.({ task: options.task, done: part.bytes, ...(total !== undefined && { total }), unit: 'bytes' });
    }
  } catch (error) {
    await response.body?.cancel().catch(() => {});
    throw error instanceof MoralscopeError ? error : connectionFailure(error, url);
  }
  if (total !== undefined && part.bytes < total)
    throw new RequestFailure(true, `${publicUrl(url)} broke off after ${part.bytes} of ${total} bytes`);
}

async function request(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  const response = await fetch(url, { signal, headers: plain(headers) });
  if (url.startsWith('https:') && response.url.startsWith('http:'))
    throw new RequestFailure(false, `${publicUrl(url)} redirects to an address without encryption`);
  return response;
}

/** Ranges and sizes are of the bytes as stored, so no compression may come between. */
function plain(headers: Record<string, string> | undefined): Record<string, string> {
  return { 'accept-encoding': 'identity', 'user-agent': 'moralscope', ...headers };
}

/** An unfinished download: the bytes so far, their running hash, and (beside it) which content they are of. */
class Part {
  bytes = 0;
  validator: string | undefined;

  private constructor(
    readonly path: string,
    private readonly url: string,
    private readonly file: FileHandle,
    private hash: Hash,
  ) {}

  static async open(path: string, url: string): Promise<Part> {
    try {
      const part = new Part(path, url, await open(path, 'a+'), createHash('sha256'));
      const { size } = await part.file.stat();
      const about = (await readFile(`${path}.json`, 'utf8')
        .then(JSON.parse)
        .catch(() => undefined)) as { url?: unknown; validator?: unknown } | undefined;
      if (size > 0 && about?.url !== publicUrl(url)) await part.restart();
      else if (size > 0) {
        for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) part.hash.update(chunk as Buffer);
        part.bytes = size;
        if (typeof about?.validator === 'string') part.validator = about.validator;
      }
      return part;
    } catch (error) {
      throw diskError(error, path);
    }
  }

  /** Notes which content the bytes belong to; a weak ETag does not promise equal bytes and is no validator. */
  async remember(response: Response): Promise<void> {
    const etag = response.headers.get('etag');
    this.validator = etag !== null && !etag.startsWith('W/') ? etag : (response.headers.get('last-modified') ?? undefined);
    await writeFileAtomic(`${this.path}.json`, JSON.stringify({ url: publicUrl(this.url), validator: this.validator }));
  }

  async append(chunk: Uint8Array): Promise<void> {
    try {
      await this.file.appendFile(chunk);
    } catch (error) {
      throw diskError(error, this.path);
    }
    this.hash.update(chunk);
    this.bytes += chunk.length;
  }

  async restart(): Promise<void> {
    await this.file.truncate(0);
    this.hash = createHash('sha256');
    this.bytes = 0;
    this.validator = undefined;
  }

  digest(): string {
    return this.hash.copy().digest('hex');
  }

  async finish(to: string): Promise<void> {
    await this.file.sync();
    await this.file.close();
    await rename(this.path, to);
    await rm(`${this.path}.json`, { force: true });
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await rm(`${this.path}.json`, { force: true });
  }

  async close(): Promise<void> {
    await this.file.close().catch(() => {});
  }
}
