import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { diskError } from '../artifact/files.js';
import type { StoredTensor } from './builder.js';

/** Tensors start at multiples of this, so that a mapped file can be read with any vector instruction. */
const ALIGNMENT = 64;
/** Bytes of one write call; the system takes less than 2 GiB at a time. */
const PIECE = 1 << 26;

/** Writes the tensors of a graph one after the other into one file, which may be of any size. */
export class WeightsWriter {
  private position = 0;
  private readonly tensors = new Map<string, StoredTensor>();
  private readonly hash = createHash('sha256');

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  static async create(path: string): Promise<WeightsWriter> {
    try {
      return new WeightsWriter(path, await open(path, 'w'));
    } catch (error) {
      throw diskError(error, path);
    }
  }

  /**
   * Appends one tensor, in parts that follow one another in memory order.
   * @throws RangeError if the parts do not make up the shape
   */
  async write(
    name: string,
    shape: readonly number[],
    parts: AsyncIterable<Float32Array> | Iterable<Float32Array>,
  ): Promise<void> {
    await this.append(new Uint8Array((ALIGNMENT - (this.position % ALIGNMENT)) % ALIGNMENT));
    const offset = this.position;
    for await (const part of parts) await this.append(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    const bytes = this.position - offset;
    if (bytes !== 4 * shape.reduce((product, length) => product * length, 1))
      throw new RangeError(`${name} [${shape.join(', ')}] was given ${bytes / 4} numbers`);
    this.tensors.set(name, { type: 'float32', shape, offset, bytes });
  }

  /** Flushes the file; says what it holds and where. */
  async finish(): Promise<{ tensors: Record<string, StoredTensor>; bytes: number; sha256: string }> {
    try {
      await this.file.sync();
    } catch (error) {
      throw diskError(error, this.path);
    }
    await this.file.close();
    return { tensors: Object.fromEntries(this.tensors), bytes: this.position, sha256: this.hash.digest('hex') };
  }

  /** Closes the file of a writer that will not finish. */
  async abandon(): Promise<void> {
    await this.file.close();
  }

  private async append(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        const piece = bytes.subarray(done, done + PIECE);
        const { bytesWritten } = await this.file.write(piece, 0, piece.length, this.position);
        this.hash.update(piece.subarray(0, bytesWritten));
        this.position += bytesWritten;
        done += bytesWritten;
      }
    } catch (error) {
      throw diskError(error, this.path);
    }
  }
}
