import { Command } from 'commander';
import { z } from 'zod';
import { type CacheCheck, cacheDirectory, cacheEntries, removeCacheEntry, verifyCacheEntry } from '../checkpoint/cache.js';
import { command } from './command.js';

const NoOptions = z.object({});

export const cacheCommand = () =>
  new Command('cache')
    .description('what has been fetched and compiled')
    .addCommand(
      command('ls', 'list the entries', NoOptions, async () => {
        const entries = await cacheEntries();
        const lines = entries.map(
          ({ id, bytes, record }) => `${id.padEnd(48)} ${megabytes(bytes)}  ${record ? record.source : 'unfinished'}`,
        );
        return { json: entries, text: [cacheDirectory(), ...lines].join('\n') };
      }),
    )
    .addCommand(
      command('rm', 'remove entries', NoOptions, async (_, __, names) => {
        const removed = [];
        for (const name of names) removed.push(await removeCacheEntry(name));
        return { json: removed, text: removed.map(({ id, bytes }) => `removed ${id}, ${megabytes(bytes)}`).join('\n') };
      }).argument('<entry...>', 'as `cache ls` prints them'),
    )
    .addCommand(
      command('verify', 'hash every file and compare', NoOptions, async (_, work, names) => {
        const wanted = names.length ? names : (await cacheEntries()).map(({ id }) => id);
        const checks = [];
        for (const name of wanted) checks.push(await verifyCacheEntry(name, work));
        const advice = adviceOf(checks);
        // The report is the result: it is printed whole, as JSON where that is asked for.
        if (checks.some(({ faults }) => faults.length > 0)) process.exitCode = 1;
        const text = [...checks.map(formatCheck), ...advice].join('\n');
        return { json: checks, text };
      }).argument('[entry...]', 'default: every entry'),
    );

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`.padStart(12);

function formatCheck({ entry, unfinished, faults }: CacheCheck): string {
  if (unfinished) {
    const next = entry.kind === 'graphs' ? 'compiled when it is needed' : 'the same pull goes on with it';
    return `unfinished  ${entry.id}: ${next}`;
  }
  return [`${faults.length ? 'FAULTY' : 'sound '}  ${entry.id}`, ...faults].join('\n        ');
}

/** What to do about those that are faulty: what was fetched is fetched again, what was compiled is compiled at need. */
function adviceOf(checks: readonly CacheCheck[]): string[] {
  const faulty = checks.filter(({ faults }) => faults.length > 0).map(({ entry }) => entry);
  const [graphs, fetched] = [true, false].map((compiled) =>
    faulty.filter(({ kind }) => (kind === 'graphs') === compiled).map(({ id }) => id),
  );
  return [
    ...(fetched.length ? [`Run moralscope cache rm ${fetched.join(' ')}, then pull again.`] : []),
    ...(graphs.length ? [`Run moralscope cache rm ${graphs.join(' ')}: graphs are compiled again when they are needed.`] : []),
  ];
}
