import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { diskError } from '../artifact/files.js';
import { MoralscopeError } from '../errors.js';
import { BLOCK, packHalfBytes, QUANTISED_BITS, type QuantisedType, quantiseBlocks } from './block-quantisation.js';
import type { StoredTensor } from './builder.js';

/** Tensors start at multiples of this, so that a mapped file can be read with any vector instruction. */
const ALIGNMENT = 64;
/** Bytes of one write call; the system takes less than 2 GiB at a time. */
const PIECE = 1 << 26;

const BITS = { float32: 32, ...QUANTISED_BITS };
export type StoredType = keyof typeof BITS;
type StoredNumbers = Float32Array | Uint8Array;

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
   * Appends one tensor, in parts that follow one another in memory order; of `uint4` two numbers to a byte.
   * @throws RangeError if the parts do not make up the shape
   */
  async write(
    name: string,
    shape: readonly number[],
    parts: AsyncIterable<StoredNumbers> | Iterable<StoredNumbers>,
    type: StoredType = 'float32',
  ): Promise<void> {
    await this.append(new Uint8Array((ALIGNMENT - (this.position % ALIGNMENT)) % ALIGNMENT));
    const offset = this.position;
    for await (const part of parts) await this.append(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    const bytes = this.position - offset;
    if (bytes !== Math.ceil((BITS[type] * shape.reduce((product, length) => product * length, 1)) / 8))
      throw new RangeError(`${name} [${shape.join(', ')}] of ${type} was given ${bytes} bytes`);
    this.tensors.set(name, { type, shape, offset, bytes });
  }

  /**
   * Appends a matrix whose rows are whole blocks (block-quantisation.ts) as three tensors: its numbers under this name, and under
   * `{name}.scales` [rows, columns / 32] and `{name}.zeros`, of the same type as the numbers, how to read them. Scales and zeros of the
   * whole matrix are in memory at a time.
   * @throws RangeError if the parts do not make up the shape; MoralscopeError `bad-file` if a number is not finite
   */
  async writeQuantised(
    name: string,
    shape: readonly [rows: number, columns: number],
    parts: AsyncIterable<Float32Array> | Iterable<Float32Array>,
    type: QuantisedType,
  ): Promise<void> {
    const blocks = [shape[0], shape[1] / BLOCK];
    const scales = new Float32Array(blocks[0] * blocks[1]);
    const zeros = new Uint8Array(scales.length);
    let done = 0;
    const numbers = async function* () {
      for await (const part of parts) {
        const quantised = quantiseBlocks(part, type);
        scales.set(quantised.scales, done);
        zeros.set(quantised.zeros, done);
        done += quantised.scales.length;
        yield quantised.numbers;
      }
    };
    await this.write(name, shape, numbers(), type);
    if (!scales.every(Number.isFinite))
      throw new MoralscopeError('bad-file', `${name} holds numbers that are not finite.`, 'The file is damaged: fetch it again.');
    await this.write(`${name}.scales`, blocks, [scales]);
    await this.write(`${name}.zeros`, blocks, [type === 'uint4' ? packHalfBytes(zeros) : zeros], type);
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
