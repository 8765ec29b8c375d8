import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue, type Json } from '@duckdb/node-api';
import { diskError } from '../artifact/files.js';
import { throwIfCancelled } from '../errors.js';

export interface DatabaseOptions {
  /** Where to spill what memory does not hold, and what a full disk is reported for. */
  directory: string;
  signal?: AbortSignal | undefined;
}

/** A DuckDB in memory, held to 1 GB beyond which it spills to disk. A fired signal stops the running query. */
export class Database {
  private constructor(
    private readonly instance: DuckDBInstance,
    private readonly connection: DuckDBConnection,
    private readonly options: DatabaseOptions,
    private readonly spill: string,
  ) {
    this.interrupt = () => this.connection.interrupt();
    options.signal?.addEventListener('abort', this.interrupt);
  }

  private readonly interrupt: () => void;

  static async open(options: DatabaseOptions): Promise<Database> {
    const spill = join(options.directory, '.spill');
    const instance = await DuckDBInstance.create(':memory:', {
      memory_limit: '1GB',
      temp_directory: spill,
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      preserve_insertion_order: 'true',
    });
    return new Database(instance, await instance.connect(), options, spill);
  }

  /** Runs one statement. */
  async run(sql: string): Promise<void> {
    await this.guarded(() => this.connection.run(sql));
  }

  /** The rows of a small result, as plain objects; numbers of 64 bits come as text, so cast counts to INTEGER. */
  async rows<T>(sql: string): Promise<T[]> {
    return this.guarded(
      async () => (await this.connection.runAndReadAll(sql)).getRowObjectsJson() as Record<string, Json>[] as T[],
    );
  }

  /** Hands every row of a large result to `take` as its column values, holding one chunk at a time. */
  async each(sql: string, take: (values: DuckDBValue[]) => void): Promise<void> {
    await this.guarded(async () => {
      const result = await this.connection.stream(sql);
      for (let chunk = await result.fetchChunk(); chunk && chunk.rowCount > 0; chunk = await result.fetchChunk())
        for (const row of chunk.getRows()) take(row);
    });
  }

  close(): void {
    this.options.signal?.removeEventListener('abort', this.interrupt);
    this.connection.closeSync();
    this.instance.closeSync();
    rmSync(this.spill, { recursive: true, force: true });
  }

  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    throwIfCancelled(this.options.signal);
    try {
      return await work();
    } catch (error) {
      throwIfCancelled(this.options.signal);
      const message = (error as Error).message;
      const code = /No space left on device|File too large/.test(message)
        ? 'ENOSPC'
        : /^IO Error.*(Permission denied|Read-only file system)/.test(message) && message.includes(this.options.directory)
          ? 'EACCES'
          : undefined;
      throw code ? diskError(Object.assign(new Error(message), { code }), this.options.directory) : error;
    }
  }
}

/** A string as an SQL literal. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A column's name as an SQL identifier. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
