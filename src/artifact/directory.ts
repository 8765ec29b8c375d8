import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { MoralscopeError } from '../errors.js';
import { diskError, isTemporary, sha256, writeFileAtomic } from './files.js';
import { FileLock } from './lock.js';
import { Manifest, machine, TOOL } from './manifest.js';
import { BEGUN, MANIFEST, requireOwnDirectory } from './own-directory.js';

const Identity = Manifest.pick({ format: true, formatVersion: true, seed: true, options: true, inputs: true });

/** What decides the content of an artifact; `format` is e.g. `moralscope.corpus`. */
export type ArtifactIdentity = z.infer<typeof Identity>;

/**
 * A directory that is being made or is whole. While it is open no other process may open it. Its `manifest.json` is written
 * last; a directory without one is unfinished work, which the same command (same identity) takes up.
 */
export class ArtifactDirectory {
  private readonly started = performance.now();

  private constructor(
    readonly path: string,
    readonly identity: ArtifactIdentity,
    /** The manifest, when the directory already holds exactly this artifact. */
    readonly finished: Manifest | undefined,
    private readonly lock: FileLock,
  ) {}

  /**
   * Opens or creates `path` for the artifact of this identity.
   * @param nested artifacts that it may hold before it is begun itself
   * @throws MoralscopeError `locked` if another live process has it open; `misuse` if it holds another artifact, or files that are not ours.
   */
  static async open(path: string, identity: ArtifactIdentity, nested?: readonly string[]): Promise<ArtifactDirectory> {
    await requireOwnDirectory(path, nested);
    const dir = resolve(path);
    try {
      await mkdir(dir, { recursive: true });
    } catch (error) {
      if (['EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw new MoralscopeError('misuse', `${dir} is a file or lies in one.`, 'Choose another --out.', { cause: error });
      throw diskError(error, dir);
    }
    const lock = await lockOf(dir);
    try {
      const finished = await readManifestIfPresent(dir);
      const begun = finished ?? (await readIfPresent(join(dir, BEGUN), Identity));
      if (begun !== undefined && fingerprint(begun) !== fingerprint(identity))
        throw new MoralscopeError(
          'misuse',
          `${dir} holds ${finished ? 'a finished' : 'an unfinished'} ${begun.format} made otherwise: ${difference(begun, identity)}.`,
          'Choose another --out, or remove the directory.',
        );
      for (const name of await readdir(dir, { recursive: true }))
        if (isTemporary(name)) await rm(join(dir, name), { force: true });
      if (!begun) await writeFileAtomic(join(dir, BEGUN), JSON.stringify(identity, null, 2));
      return new ArtifactDirectory(dir, identity, finished, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes the manifest, which makes the directory whole, and lets go of it. */
  async finish(details: Record<string, unknown>): Promise<Manifest> {
    const manifest: Manifest = {
      ...this.identity,
      tool: TOOL,
      details,
      createdAt: new Date().toISOString(),
      seconds: Math.round(performance.now() - this.started) / 1000,
      machine: machine(),
    };
    await writeFileAtomic(this.file(MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    await rm(this.file(BEGUN), { force: true });
    await this.close();
    return manifest;
  }

  /** Lets go of the directory, finished or not. */
  async close(): Promise<void> {
    await this.lock.release();
  }
}

/** How a directory of each format is made, for who gives another path. */
const MAKING: Readonly<Record<string, string>> = {
  'moralscope.corpus':
    '`moralscope corpus build --from starter --out DIR` makes one of the corpus that comes with moralscope; --from takes tables, too.',
  'moralscope.activations': '`moralscope capture --model M --corpus CORPUS --out DIR` makes one.',
  'moralscope.remedy': '`moralscope align --out DIR` makes one; its --help says of what.',
};

/** Reads the manifest of a whole artifact of the given format. Throws `not-found` or `bad-file`. */
export async function readManifest(dir: string, format: string): Promise<Manifest> {
  const path = resolve(dir);
  const manifest = await readManifestIfPresent(path);
  const making = MAKING[format] ?? 'Give another directory.';
  if (!manifest) {
    const found = await stat(path).catch(() => undefined);
    if (!found) throw new MoralscopeError('not-found', `${dir} does not exist; a ${format} directory is needed.`, making);
    if (!found.isDirectory())
      throw new MoralscopeError('not-found', `${dir} is a file; a ${format} directory is needed.`, making);
    const begun = await readIfPresent(join(path, BEGUN), Identity);
    if (begun?.format === format)
      throw new MoralscopeError(
        'not-found',
        `${dir} is unfinished: it has no manifest.json yet.`,
        'Run the command that began it again: it goes on where it stopped.',
      );
    throw new MoralscopeError('not-found', `${dir} has no manifest.json: it is no ${format} directory.`, making);
  }
  if (manifest.format !== format)
    throw new MoralscopeError('bad-file', `${dir} holds a ${manifest.format}, where a ${format} is needed.`, making);
  return manifest;
}

const REMAKE = 'Choose another directory; or, where moralscope made this one, remove it and make it again.';

function readManifestIfPresent(dir: string): Promise<Manifest | undefined> {
  return readIfPresent(join(dir, MANIFEST), Manifest);
}

async function readIfPresent<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const raw = await readJson(path);
  if (raw === undefined) return undefined;
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new MoralscopeError(
    'bad-file',
    `${path} was not written by moralscope: ${issue.path.join('.')} ${issue.message}.`,
    REMAKE,
  );
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw new MoralscopeError('bad-file', `${path} cannot be read: ${(cause as Error).message}.`, REMAKE, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MoralscopeError('bad-file', `${path} is not JSON.`, REMAKE, { cause });
  }
}

function fingerprint({ format, formatVersion, seed, options, inputs }: ArtifactIdentity): string {
  return sha256(JSON.stringify([format, formatVersion, seed, sorted(options), inputs.map((i) => [i.name, i.sha256])]));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  );
}

/** What sets two identities of different fingerprints apart. */
function difference(theirs: ArtifactIdentity, mine: ArtifactIdentity): string {
  if (theirs.format !== mine.format) return `a ${mine.format} is to be made`;
  const found: string[] = [];
  const compare = (name: string, was: unknown, now: unknown) => {
    const [a, b] = [was, now].map((v) => JSON.stringify(sorted(v)) ?? 'not set');
    if (a !== b) found.push(`${name} was ${a}, now ${b}`);
  };
  compare('format version', theirs.formatVersion, mine.formatVersion);
  compare('seed', theirs.seed, mine.seed);
  for (const key of new Set([...Object.keys(theirs.options), ...Object.keys(mine.options)]))
    compare(key, theirs.options[key], mine.options[key]);
  const lacks = (a: ArtifactIdentity, b: ArtifactIdentity) =>
    a.inputs.filter((i) => !b.inputs.some((j) => i.name === j.name && i.sha256 === j.sha256)).map((i) => i.name);
  const inputs = [...new Set([...lacks(theirs, mine), ...lacks(mine, theirs)])];
  if (inputs.length > 0) found.push(`other content of the inputs ${inputs.join(', ')}`);
  return found.join('; ') || 'its inputs are in another order';
}

async function lockOf(dir: string): Promise<FileLock> {
  try {
    return await FileLock.acquire(join(dir, '.lock'));
  } catch (error) {
    if (!(error instanceof MoralscopeError) || error.code !== 'locked') throw error;
    throw new MoralscopeError(
      'locked',
      `${dir} is in use: ${error.message}`,
      'Wait for it to end, or choose another --out. If it no longer runs, remove that file.',
      { cause: error },
    );
  }
}
