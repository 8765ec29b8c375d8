import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { MoralscopeError, throwIfCancelled } from '../errors.js';

/** One read call asks for at most this many bytes, so that a signal is heard in time. */
const PIECE = 1 << 25;

/** A file read by position, never as a whole. Every position is checked against the size it had when opened. */
export class BinaryFile {
  private constructor(
    readonly path: string,
    readonly size: number,
    private readonly handle: FileHandle,
  ) {}

  /** @throws MoralscopeError `not-found` if there is no such file, `bad-file` if it cannot be opened as one. */
  static async open(path: string): Promise<BinaryFile> {
    let handle: FileHandle;
    try {
      handle = await open(path, 'r');
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code;
      if (code === 'ENOENT' || code === 'ENOTDIR')
        throw new MoralscopeError('not-found', `${path} does not exist.`, 'Check the path.', { cause });
      throw new MoralscopeError('bad-file', `${path} cannot be opened (${code}).`, 'Check its permissions.', { cause });
    }
    const stat = await handle.stat();
    if (stat.isFile()) return new BinaryFile(path, stat.size, handle);
    await handle.close();
    throw new MoralscopeError('bad-file', `${path} is not a file.`, 'Give the path of a file.');
  }

  /** Bytes `position` to `position + length`; fewer is an error. */
  async read(position: number, length: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    this.check(position, length);
    const bytes = new Uint8Array(length);
    await this.readInto(bytes, position, signal);
    return bytes;
  }

  /** Fills `target` from `position` on. */
  async readInto(target: Uint8Array, position: number, signal?: AbortSignal): Promise<void> {
    this.check(position, target.length);
    for (let done = 0; done < target.length; ) {
      throwIfCancelled(signal);
      const { bytesRead } = await this.handle.read(target, done, Math.min(PIECE, target.length - done), position + done);
      if (bytesRead === 0) throw this.bad(`became shorter while it was read: no byte at ${position + done}`);
      done += bytesRead;
    }
  }

  /** The error for something wrong in this file; `what` goes on after the path. */
  bad(what: string, fix = 'It is damaged or incomplete: fetch it again.', options?: ErrorOptions): MoralscopeError {
    return new MoralscopeError('bad-file', `${this.path}: ${what}.`, fix, options);
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  private check(position: number, length: number): void {
    if (!(position >= 0 && length >= 0 && position + length <= this.size))
      throw this.bad(`bytes ${position} to ${position + length} were asked for, but it has ${this.size}`);
  }
}
