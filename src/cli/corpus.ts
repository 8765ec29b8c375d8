import { Command } from 'commander';
import { z } from 'zod';
import { formatCorpusStats } from '../moral/format.js';
import { corpusStats } from '../moral/stats.js';
import { buildNamedCorpus } from '../study.js';
import { command } from './command.js';

const BuildOptions = z.object({
  from: z.string().describe('starter, social-chem-101, or a TSV, CSV, JSONL or parquet file in its columns'),
  out: z.string().describe('directory to make'),
  name: z.string().optional().describe('what the corpus is called in reports'),
  seed: z
    .int()
    .default(0)
    .describe(
      "decides the corpus's own 80/10/10 split, which no analysis reads: each draws its own, so that those test texts are not held out",
    ),
});

export const corpusCommand = () =>
  new Command('corpus')
    .description('moral judgments of short actions')
    .addCommand(
      command('build', 'make moral vectors of a table of judgments', BuildOptions, async ({ from, out, name, seed }, work) => {
        await buildNamedCorpus({ from, out, name, seed, ...work });
        const stats = await corpusStats(out);
        return { json: stats, text: formatCorpusStats(stats) };
      }),
    )
    .addCommand(
      command('stats', 'what a corpus holds: cells, lengths, label noise, leaks', z.object({}), async (_, __, [directory]) => {
        const stats = await corpusStats(directory);
        return { json: stats, text: formatCorpusStats(stats) };
      }).argument('<dir>', 'a corpus directory'),
    );
