import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { diskError, sha256File, writeFileAtomic } from '../artifact/files.js';
import { FileLock } from '../artifact/lock.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { nearestName } from '../nearest.js';
import type { WorkOptions } from '../progress.js';

/**
 * The cache: a directory `<cache>/<kind>/<name>/` (an entry) holds files and, written last, `entry.json`. A directory without a
 * sound `entry.json` is unfinished; whoever makes it goes on with the parts in its `.work/`.
 */
export const CACHE_KINDS = ['models', 'datasets', 'graphs'] as const;
export type CacheKind = (typeof CACHE_KINDS)[number];

const RECORD = 'entry.json';
const WORK = '.work';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** What `entry.json` says. */
export const CacheRecord = z.object({
  format: z.literal('moralscope.cache-entry'),
  formatVersion: z.literal(1),
  kind: z.enum(CACHE_KINDS),
  name: z.string(),
  /** Where it came from, in words. */
  source: z.string(),
  files: z.array(
    z.object({ name: z.string(), bytes: z.number().int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
  createdAt: z.string(),
});
export type CacheRecord = z.infer<typeof CacheRecord>;
export type CachedFile = CacheRecord['files'][number];

export interface CacheEntry {
  /** `models/smollm2-135m`: what `cache rm` and `cache verify` take. */
  id: string;
  kind: CacheKind;
  name: string;
  path: string;
  /** Bytes on disk, unfinished parts included. */
  bytes: number;
  /** Absent while the entry is unfinished. */
  record?: CacheRecord;
}

/** The cache directory: MORALSCOPE_CACHE, else XDG_CACHE_HOME/moralscope, else ~/.cache/moralscope. It need not exist. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env.MORALSCOPE_CACHE) return resolve(env.MORALSCOPE_CACHE);
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), '.cache'), 'moralscope');
}

/**
 * The entry of this name if it is whole: its record is sound and every file is there with its size. Contents are not hashed.
 * @param sha256 what the record must say of the first file, for a name that means certain bytes.
 */
export async function findCached(kind: CacheKind, name: string, sha256?: string): Promise<Required<CacheEntry> | undefined> {
  const path = entryPath(kind, name);
  const record = await readRecord(path);
  if (record?.kind !== kind || record.name !== name) return undefined;
  if (sha256 !== undefined && record.files[0]?.sha256 !== sha256) return undefined;
  for (const file of record.files) if ((await sizeOf(join(path, file.name))) !== file.bytes) return undefined;
  const bytes = record.files.reduce((sum, file) => sum + file.bytes, 0);
  return { id: `${kind}/${name}`, kind, name, path, bytes, record };
}

/**
 * The whole entry of this name, made by `fill` unless it is there. Only one process fills an entry: another one that wants it
 * waits (its progress follows the bytes on disk) and then uses what was made.
 * `fill` gets the entry's directory and a work directory that outlives an interruption; the files it names lie in the first.
 */
export async function cached(
  kind: CacheKind,
  name: string,
  fill: (place: { path: string; work: string }) => Promise<{ source: string; files: CachedFile[] }>,
  options: WorkOptions & { sha256?: string | undefined } = {},
): Promise<Required<CacheEntry>> {
  const found = await findCached(kind, name, options.sha256);
  if (found) return found;
  const path = entryPath(kind, name);
  const work = join(path, WORK);
  await makeDirectory(work);
  const lock = await FileLock.acquire(lockPath(kind, name), {
    signal: options.signal,
    whileWaiting: async (owner) =>
      options.onProgress?.({ task: `${name}: waiting for process ${owner.pid}`, done: await diskUse(path), unit: 'bytes' }),
  });
  try {
    const meanwhile = await findCached(kind, name, options.sha256);
    if (meanwhile) return meanwhile;
    await makeDirectory(work);
    await rm(join(path, RECORD), { force: true });
    const { source, files } = await fill({ path, work });
    throwIfCancelled(options.signal);
    const record: CacheRecord = {
      format: 'moralscope.cache-entry',
      formatVersion: 1,
      kind,
      name,
      source,
      files,
      createdAt: new Date().toISOString(),
    };
    await writeFileAtomic(join(path, RECORD), `${JSON.stringify(record, null, 2)}\n`);
    await rm(work, { recursive: true, force: true });
    return { id: `${kind}/${name}`, kind, name, path, bytes: files.reduce((sum, f) => sum + f.bytes, 0), record };
  } finally {
    await lock.release();
  }
}

/** Everything in the cache, unfinished entries included, sorted by id. */
export async function cacheEntries(): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = [];
  for (const kind of CACHE_KINDS) {
    const names = await readdir(join(cacheDirectory(), kind), { withFileTypes: true }).catch(() => []);
    for (const { name } of names.filter((e) => e.isDirectory() && NAME.test(e.name))) {
      const path = entryPath(kind, name);
      const record = await findCached(kind, name).then((found) => found?.record);
      entries.push({ id: `${kind}/${name}`, kind, name, path, bytes: await diskUse(path), ...(record && { record }) });
    }
  }
  return entries.sort((a, b) => (a.id < b.id ? -1 : 1));
}

/**
 * Removes an entry, given by id (`models/smollm2-135m`) or by a name that only one kind has; returns what was removed.
 * @throws MoralscopeError `not-found`, or `locked` while a process is filling it.
 */
export async function removeCacheEntry(idOrName: string): Promise<CacheEntry> {
  const entry = await requireEntry(idOrName);
  const lock = await FileLock.acquire(lockPath(entry.kind, entry.name));
  try {
    // The record goes first, so that a removal cut short leaves an unfinished entry and never one that looks whole.
    await rm(join(entry.path, RECORD), { force: true });
    await rm(entry.path, { recursive: true, force: true });
  } finally {
    await lock.release();
  }
  return entry;
}

export interface CacheCheck {
  entry: CacheEntry;
  /** Whether it is still to be made whole, which is no fault: whoever needs it goes on with what is there. */
  unfinished: boolean;
  /** One line a fault; empty when the entry is sound or unfinished. */
  faults: string[];
}

/** Reads every file of an entry and compares size and sha256 with its record. Throws `not-found`. */
export async function verifyCacheEntry(idOrName: string, options: WorkOptions = {}): Promise<CacheCheck> {
  const entry = await requireEntry(idOrName);
  const record = entry.record ?? (await readRecord(entry.path));
  if (!record) return { entry, unfinished: true, faults: [] };
  const faults: string[] = [];
  let done = 0;
  const total = record.files.reduce((sum, file) => sum + file.bytes, 0);
  for (const file of record.files) {
    throwIfCancelled(options.signal);
    const path = join(entry.path, file.name);
    const bytes = await sizeOf(path);
    if (bytes === undefined) faults.push(`${path} is missing.`);
    else if (bytes !== file.bytes) faults.push(`${path} has ${bytes} bytes, expected ${file.bytes}.`);
    else {
      const found = await sha256File(path, options.signal);
      if (found !== file.sha256) faults.push(`${path} has sha256 ${found}, expected ${file.sha256}.`);
    }
    done += file.bytes;
    options.onProgress?.({ task: `verify ${entry.id}`, done, total, unit: 'bytes' });
  }
  return { entry, unfinished: false, faults };
}

async function requireEntry(idOrName: string): Promise<CacheEntry> {
  const entries = await cacheEntries();
  const exact = entries.find((entry) => entry.id === idOrName);
  if (exact) return exact;
  const named = entries.filter((entry) => entry.name === idOrName);
  if (named.length === 1) return named[0];
  if (named.length > 1)
    throw new MoralscopeError('misuse', `${idOrName} names ${named.map((e) => e.id).join(' and ')}.`, 'Give the full id.');
  const known = entries.flatMap((entry) => [entry.id, entry.name]);
  const near = nearestName(idOrName, known);
  throw new MoralscopeError(
    'not-found',
    `${idOrName} is not in the cache ${cacheDirectory()}.`,
    near ? `Did you mean ${near}?` : 'See moralscope cache ls.',
  );
}

function entryPath(kind: CacheKind, name: string): string {
  if (!NAME.test(name))
    throw new MoralscopeError('misuse', `${JSON.stringify(name)} is no name of a cache entry.`, 'See moralscope cache ls.');
  return join(cacheDirectory(), kind, name);
}

/** Beside the entry and not inside, so that the entry can be removed while the lock is held. */
function lockPath(kind: CacheKind, name: string): string {
  return join(cacheDirectory(), kind, `.${name}.lock`);
}

async function readRecord(path: string): Promise<CacheRecord | undefined> {
  try {
    return CacheRecord.safeParse(JSON.parse(await readFile(join(path, RECORD), 'utf8'))).data;
  } catch {
    return undefined;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (s) => (s.isFile() ? s.size : undefined),
    () => undefined,
  );
}

/** Bytes of all files under a directory; files that vanish meanwhile count nothing. */
async function diskUse(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const child = join(path, entry.name);
    bytes += entry.isDirectory() ? await diskUse(child) : ((await sizeOf(child)) ?? 0);
  }
  return bytes;
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw diskError(error, path);
  }
}
