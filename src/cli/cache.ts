import { Command } from 'commander';
import { z } from 'zod';
import { cacheDirectory, cacheEntries, removeCacheEntry, verifyCacheEntry } from '../checkpoint/cache.js';
import { MoralscopeError } from '../errors.js';
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
        const text = checks
          .map(({ entry, faults }) => [`${faults.length ? 'FAULTY' : 'sound '}  ${entry.id}`, ...faults].join('\n        '))
          .join('\n');
        const faulty = checks.filter(({ faults }) => faults.length > 0).map(({ entry }) => entry.id);
        if (faulty.length)
          throw new MoralscopeError('bad-file', text, `Run moralscope cache rm ${faulty.join(' ')}, then pull again.`);
        return { json: checks, text };
      }).argument('[entry...]', 'default: every entry'),
    );

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`.padStart(12);
