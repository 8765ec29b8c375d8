import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { diskError, writeFileAtomic } from '../artifact/files.js';
import { FileLock } from '../artifact/lock.js';
import { TOOL } from '../artifact/manifest.js';
import { MoralscopeError } from '../errors.js';

/** What decides the lines of a file of answers: it stands beside them. */
export type AnswersMadeFrom = Readonly<Record<string, unknown>>;

/**
 * A file of answers, one JSON object a line, in the order of their prompts. A killed process loses at most the line that it was writing:
 * who opens the file again goes on behind the last whole one.
 */
export class AnswerFile {
  private constructor(
    readonly path: string,
    /** Lines that are there. */
    private lines: number,
    private readonly file: FileHandle,
    private readonly lock: FileLock,
  ) {}

  /**
   * Begins the file, or goes on with it.
   * @throws MoralscopeError `misuse` naming what was different when it was begun, or for a file that `generate` did not make; `locked`,
   * `bad-file`, `disk`
   */
  static async open(path: string, madeFrom: AnswersMadeFrom): Promise<AnswerFile> {
    if (path.trim() === '') throw new MoralscopeError('misuse', 'The file of answers has no name.', 'Give --out a name.');
    await mkdir(dirname(path), { recursive: true }).catch((error) => {
      throw diskError(error, path);
    });
    const lock = await FileLock.acquire(`${path}.lock`);
    try {
      const there = await readIfThere(path);
      await requireSame(path, there !== undefined, madeFrom);
      const whole = there?.subarray(0, there.lastIndexOf(0x0a) + 1);
      const rows = whole ? countRows(whole, path) : 0;
      const file = await open(path, 'a').catch((error) => {
        throw diskError(error, path);
      });
      try {
        if (whole && whole.length < there!.length) await file.truncate(whole.length);
      } catch (error) {
        await file.close();
        throw diskError(error, path);
      }
      return new AnswerFile(path, rows, file, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Answers that are there. */
  get length(): number {
    return this.lines;
  }

  /** @throws MoralscopeError `disk` */
  async append(answer: { row: number }): Promise<void> {
    if (answer.row !== this.lines) throw new RangeError(`the answer of row ${answer.row} behind ${this.lines} lines`);
    await this.file.appendFile(`${JSON.stringify(answer)}\n`).catch((error) => {
      throw diskError(error, this.path);
    });
    this.lines++;
  }

  async close(): Promise<void> {
    try {
      try {
        await this.file.sync();
      } finally {
        await this.file.close();
      }
    } finally {
      await this.lock.release();
    }
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new MoralscopeError('bad-file', `${path} cannot be read: ${error.message}.`, 'Choose another --out.', { cause: error });
  });
}

/** The file beside it says what it is made from; it is written first. */
async function requireSame(path: string, begun: boolean, madeFrom: AnswersMadeFrom): Promise<void> {
  const beside = `${path}.options.json`;
  const text = await readIfThere(beside);
  if (!text) {
    if (begun)
      throw new MoralscopeError(
        'misuse',
        `${path} is there, and was not begun by generate.`,
        'Choose another --out, or remove it.',
      );
    await writeFileAtomic(beside, `${JSON.stringify({ tool: TOOL, ...madeFrom }, null, 1)}\n`);
    return;
  }
  let before: Record<string, unknown>;
  try {
    before = JSON.parse(text.toString('utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new MoralscopeError('bad-file', `${beside} is not JSON.`, 'Remove it and the answers, or choose another --out.', {
      cause,
    });
  }
  const shown = (value: unknown) => JSON.stringify(value) ?? 'none';
  const different = [...new Set([...Object.keys(before), ...Object.keys(madeFrom)])].filter(
    (name) => name !== 'tool' && shown(before[name]) !== shown(madeFrom[name]),
  );
  if (different.length > 0)
    throw new MoralscopeError(
      'misuse',
      `${path} was begun with other options: ${different.map((name) => `${name} ${shown(before[name])}, now ${shown(madeFrom[name])}`).join('; ')}.`,
      'Use the same options to go on, or choose another --out.',
    );
}

function countRows(whole: Buffer, path: string): number {
  const lines = whole.toString('utf8').split('\n').slice(0, -1);
  for (const [row, line] of lines.entries()) {
    let found: unknown;
    try {
      found = (JSON.parse(line) as { row?: unknown }).row;
    } catch {}
    if (found !== row)
      throw new MoralscopeError(
        'bad-file',
        `${path}, line ${row + 1} is not the answer of row ${row}.`,
        'Choose another --out, or remove it.',
      );
  }
  return lines.length;
}
