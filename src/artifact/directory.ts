import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { MoralscopeError } from '../errors.js';
import { diskError, sha256, writeFileAtomic } from './files.js';
import { Manifest, machine, TOOL } from './manifest.js';

export interface ArtifactIdentity {
  /** e.g. `moralscope.corpus`, `moralscope.activations`. */
  format: string;
  formatVersion: number;
  seed: number;
  options: Record<string, unknown>;
  inputs: { name: string; sha256: string }[];
}

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
    private readonly lockPath: string,
  ) {}

  /**
   * Opens or creates `path` for the artifact of this identity.
   * @throws MoralscopeError `locked` if another live process has it open; `misuse` if it holds another artifact.
   */
  static async open(path: string, identity: ArtifactIdentity): Promise<ArtifactDirectory> {
    const dir = resolve(path);
    const lockPath = join(dir, '.lock');
    try {
      await mkdir(dir, { recursive: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST')
        throw new MoralscopeError('misuse', `${dir} is a file, not a directory.`, 'Choose another --out.', { cause: error });
      throw diskError(error, dir);
    }
    await lock(lockPath, dir);
    try {
      const finished = await readManifestIfPresent(dir);
      const begun = await readJson(join(dir, '.begun.json'));
      const mine = fingerprint(identity);
      const theirs = finished ? fingerprint(finished) : (begun as { fingerprint?: string } | undefined)?.fingerprint;
      if (theirs !== undefined && theirs !== mine) {
        const what = finished ? `holds a finished ${finished.format} made` : 'holds unfinished work begun';
        throw new MoralscopeError(
          'misuse',
          `${dir} ${what} with other options or inputs${finished ? `: ${difference(finished, identity)}` : ''}.`,
          'Choose another --out, or remove the directory.',
        );
      }
      if (!finished) await writeFileAtomic(join(dir, '.begun.json'), JSON.stringify({ fingerprint: mine, ...identity }, null, 2));
      return new ArtifactDirectory(dir, identity, finished, lockPath);
    } catch (error) {
      await rm(lockPath, { force: true });
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
    await writeFileAtomic(this.file('manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    await rm(this.file('.begun.json'), { force: true });
    await this.close();
    return manifest;
  }

  /** Lets go of the directory, finished or not. */
  async close(): Promise<void> {
    await rm(this.lockPath, { force: true });
  }
}

/** Reads the manifest of a whole artifact of the given format. Throws `not-found` or `bad-file`. */
export async function readManifest(dir: string, format: string): Promise<Manifest> {
  const manifest = await readManifestIfPresent(resolve(dir));
  if (!manifest)
    throw new MoralscopeError(
      'not-found',
      `${dir} has no manifest.json: it is no ${format} directory, or its making was interrupted.`,
      'Run the command that makes it again.',
    );
  if (manifest.format !== format)
    throw new MoralscopeError(
      'bad-file',
      `${dir} holds a ${manifest.format}, where a ${format} is needed.`,
      'Give another directory.',
    );
  return manifest;
}

async function readManifestIfPresent(dir: string): Promise<Manifest | undefined> {
  const raw = await readJson(join(dir, 'manifest.json'));
  if (raw === undefined) return undefined;
  const parsed = Manifest.safeParse(raw);
  if (!parsed.success)
    throw new MoralscopeError(
      'bad-file',
      `${join(dir, 'manifest.json')} is not a manifest of moralscope: ${parsed.error.issues[0]?.path.join('.')} ${parsed.error.issues[0]?.message}`,
      'Remove the directory and make it again.',
    );
  return parsed.data;
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MoralscopeError('bad-file', `${path} is not JSON.`, 'Remove the directory and make it again.', { cause });
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

function difference(theirs: Manifest, mine: ArtifactIdentity): string {
  const found: string[] = [];
  if (theirs.format !== mine.format) return `it is a ${theirs.format}, not a ${mine.format}`;
  for (const key of new Set([...Object.keys(theirs.options), ...Object.keys(mine.options)])) {
    const [a, b] = [theirs.options[key], mine.options[key]].map((v) => JSON.stringify(sorted(v)));
    if (a !== b) found.push(`${key} was ${a}, now ${b}`);
  }
  if (theirs.seed !== mine.seed) found.push(`seed was ${theirs.seed}, now ${mine.seed}`);
  for (const input of mine.inputs)
    if (!theirs.inputs.some((t) => t.name === input.name && t.sha256 === input.sha256)) found.push(`input ${input.name} differs`);
  return found.join('; ') || 'its version differs';
}

async function lock(lockPath: string, dir: string): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const file = await open(lockPath, 'wx');
      await file.writeFile(JSON.stringify({ pid: process.pid, host: hostname() }));
      await file.close();
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw diskError(error, dir);
      const owner = (await readJson(lockPath).catch(() => undefined)) as { pid?: number; host?: string } | undefined;
      if (owner?.pid !== undefined && (owner.host !== hostname() || isAlive(owner.pid)))
        throw new MoralscopeError(
          'locked',
          `${dir} is in use by process ${owner.pid} on ${owner.host}.`,
          `Wait for it to end, or choose another --out. If it no longer runs, remove ${lockPath}.`,
        );
      await rm(lockPath, { force: true });
    }
  }
  throw new MoralscopeError('locked', `${dir} is in use by another process.`, 'Wait for it to end, or choose another --out.');
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
