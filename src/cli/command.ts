import { Command } from 'commander';
import type { z } from 'zod';
import { MoralscopeError } from '../errors.js';
import { parseOptions } from '../options.js';
import type { OnProgress } from '../progress.js';
import { addFlags, flagName } from './flags.js';
import { terminalProgress } from './terminal.js';

type Fields = Record<string, z.ZodType>;

/** What a command gives back: `json` for machines, `text` for people. */
export interface CommandResult {
  json: unknown;
  /** Empty: nothing is printed. */
  text: string;
}

/**
 * A command whose flags come from the library's own options schema. Adds `--json`, progress on stderr, and a first Ctrl-C that stops
 * cleanly (a second one stops at once).
 */
export function command<S extends z.ZodObject<Fields>>(
  name: string,
  description: string,
  schema: S,
  run: (
    options: z.infer<S>,
    work: { onProgress: OnProgress; signal: AbortSignal },
    args: string[],
    /** Whether the result is printed as JSON, and nothing else belongs on stdout. */
    asJson: boolean,
  ) => Promise<CommandResult>,
  /** Nothing of work that was stopped is kept. */
  { beginsAnew = false }: { beginsAnew?: boolean } = {},
): Command {
  const built = addFlags(new Command(name).description(description), schema).option('--json', 'print the result as JSON');
  return built.action(async (...actionArgs: unknown[]) => {
    const own = actionArgs.at(-1) as Command;
    const { json, ...flags } = own.opts<Record<string, unknown>>();
    const options = parseOptions(schema, flags, flagName);
    const stop = new AbortController();
    const onInterrupt = (signal: NodeJS.Signals) => {
      if (stop.signal.aborted) {
        // The way of the system itself: threads in the middle of native work take an orderly exit for an error.
        process.removeAllListeners(signal);
        process.kill(process.pid, signal);
        return;
      }
      process.stderr.write('\nStopping; Ctrl-C again to stop at once.\n');
      stop.abort();
    };
    process.on('SIGINT', onInterrupt);
    process.on('SIGTERM', onInterrupt);
    const progress = terminalProgress();
    try {
      const result = await run(options, { onProgress: progress.onProgress, signal: stop.signal }, own.args, json === true);
      progress.done();
      if (json) process.stdout.write(`${JSON.stringify(result.json, null, 2)}\n`);
      else if (result.text !== '') process.stdout.write(`${result.text}\n`);
    } catch (error) {
      if (beginsAnew && error instanceof MoralscopeError && error.code === 'cancelled')
        throw new MoralscopeError('cancelled', error.message, 'Run the same command again.');
      throw error;
    } finally {
      progress.done();
      process.off('SIGINT', onInterrupt);
      process.off('SIGTERM', onInterrupt);
    }
  });
}
