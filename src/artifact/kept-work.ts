import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { sha256, writeFileAtomic } from './files.js';
import { TOOL } from './manifest.js';

/** Results of an unfinished artifact, so that the same command goes on where it stopped. */
export class KeptWork {
  /** @param path a folder inside the artifact's directory, which holds nothing else */
  constructor(private readonly path: string) {}

  /**
   * The result kept under this key, or computed and kept now.
   * @param key all that decides it beside the artifact's identity
   */
  async get<T>(key: readonly unknown[], compute: () => Promise<T>): Promise<T> {
    const identity = JSON.stringify([TOOL.version, ...key]);
    const file = join(this.path, `${sha256(identity).slice(0, 24)}.v8`);
    const bytes = await readFile(file).catch(() => undefined);
    const kept = bytes && readKept<T>(bytes);
    if (kept?.identity === identity) return kept.result;
    const result = await compute();
    await mkdir(this.path, { recursive: true });
    await writeFileAtomic(file, serialize({ identity, result }));
    return result;
  }

  /** Lets go of all of them. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** What a file holds; undefined where it was not written by this version of Node, or is damaged. */
function readKept<T>(bytes: Buffer): { identity: string; result: T } | undefined {
  try {
    return deserialize(bytes) as { identity: string; result: T };
  } catch {
    return undefined;
  }
}
