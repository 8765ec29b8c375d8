// Corpus build against pandas doing the same, on a made-up table of Social-Chemistry-101's shape: 355,922 rows of 25 columns.
//   npm run bench -- corpus [--python PATH] [--rows N] [--repeats N] [--keep]
// The peer needs a Python with pandas, and pyarrow to write parquet as we do; without pyarrow it writes a pickle, which is less work.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildCorpus } from '../dist/moral/build.js';
import { FOUNDATIONS } from '../dist/moral/foundation.js';
import { Random } from '../dist/random.js';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    rows: { type: 'string', default: '355922' },
    repeats: { type: 'string', default: '3' },
    keep: { type: 'boolean', default: false },
  },
});

const COLUMNS =
  'area m split rot-agree rot-categorization rot-moral-foundations rot-char-targeting rot-bad rot-judgment action action-agency ' +
  'action-moral-judgment action-agree action-legal action-pressure action-char-involved action-hypothetical situation ' +
  'situation-short-id rot rot-id rot-worker-id breakdown-worker-id n-characters characters';

/** Writes the table. Shares of missing values, repeated actions and quoted fields are those reported of the real one, roughly. */
async function writeTable(path, rows) {
  const random = new Random(1, 'bench', 'corpus');
  const pick = (items) => items[random.below(items.length)];
  const vocabulary = Array.from({ length: 8000 }, () =>
    Array.from({ length: 2 + random.below(9) }, () => pick('etaoinshrdlucmfwypvbgk')).join(''),
  );
  const words = (n) => Array.from({ length: n }, () => pick(vocabulary)).join(' ');
  const actions = Array.from({ length: Math.ceil(rows * 0.55) }, () => `${words(3 + random.below(8))}.`);
  const file = createWriteStream(path, { highWaterMark: 1 << 20 });
  file.write(`${COLUMNS.split(' ').join('\t')}\n`);
  for (let i = 0; i < rows; i++) {
    const situation = words(8 + random.below(20));
    const rot = words(7 + random.below(8));
    const row = [
      pick(['amitheasshole', 'confessions', 'dearabby', 'rocstories']),
      random.uniform() < 0.85 ? 1 : 50,
      pick(['train', 'train', 'train', 'dev', 'test']),
      random.below(5),
      pick(['morality-ethics', 'social-norms', 'advice', 'morality-ethics|social-norms']),
      random.uniform() < 0.1 ? '' : FOUNDATIONS.filter((_, f) => random.uniform() < [0.5, 0.2, 0.3, 0.2, 0.12][f]).join('|'),
      `char-${random.below(4)}`,
      random.uniform() < 0.02 ? 1 : 0,
      `${random.below(5) - 2}`,
      random.uniform() < 0.03 ? '' : pick(actions),
      pick(['agency', 'experience']),
      random.uniform() < 0.05 ? '' : `${random.below(5) - 2}.0`,
      random.uniform() < 0.05 ? '' : `${random.below(5)}.0`,
      pick(['legal', 'illegal', 'tolerated']),
      `${random.below(5) - 2}.0`,
      pick(['char-0', 'char-1', '']),
      pick(['explicit', 'probable', 'hypothetical']),
      random.uniform() < 0.05 ? `"she said ""${situation}"""` : situation,
      `reddit/amitheasshole/${random.bits().toString(36)}`,
      rot,
      `rot/reddit/amitheasshole/${random.bits().toString(36)}/${random.bits()}/${random.below(100)}`,
      random.below(200),
      random.below(200),
      1 + random.below(4),
      'narrator|another person',
    ];
    if (!file.write(`${row.join('\t')}\n`)) await once(file, 'drain');
  }
  file.end();
  await once(file, 'finish');
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const dir = await mkdtemp(join(tmpdir(), 'moralscope-bench-'));
try {
  const tsv = join(dir, 'table.tsv');
  await writeTable(tsv, Number(flags.rows));
  const peer = new URL('./corpus_peer.py', import.meta.url).pathname;
  const ours = [];
  const theirs = [];
  let counts;
  for (let i = 0; i < Number(flags.repeats); i++) {
    const start = performance.now();
    const before = process.cpuUsage();
    const manifest = await buildCorpus({ from: tsv, out: join(dir, `corpus-${i}`), seed: 0 });
    const { user, system } = process.cpuUsage(before);
    ours.push({ seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 });
    const line = JSON.parse(execFileSync(flags.python, [peer, tsv, join(dir, `peer-${i}`)], { encoding: 'utf8' }));
    theirs.push(line);
    counts = { ours: manifest.details, peer: line };
  }
  const { annotations, rows, texts } = counts.ours;
  if (annotations !== counts.peer.annotations || rows !== counts.peer.rows || texts !== counts.peer.texts)
    throw new Error(`the two did not do the same work: ${JSON.stringify(counts)}`);
  const wall = (runs) => median(runs.map((run) => run.seconds));
  const cpu = (runs) => median(runs.map((run) => run.cpu));
  const times = (runs) => `${wall(runs).toFixed(2)} s wall, ${cpu(runs).toFixed(2)} s of processor (median of ${runs.length})`;
  console.log(
    `corpus build, ${flags.rows} rows, ${((await stat(tsv)).size / 2 ** 20).toFixed(0)} MiB -> ${texts} texts, ${rows} rows`,
  );
  console.log(
    `  machine     ${cpus()[0]?.model.trim()}, ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}, node ${process.versions.node}`,
  );
  console.log(`  moralscope  ${times(ours)}`);
  console.log(`  pandas      ${times(theirs)}; ${counts.peer.pandas}, writes ${counts.peer.writes}`);
  console.log(
    `  ratio       ${(wall(theirs) / wall(ours)).toFixed(1)}x wall (goal 5x), ${(cpu(theirs) / cpu(ours)).toFixed(1)}x processor`,
  );
} finally {
  if (flags.keep) console.log(dir);
  else await rm(dir, { recursive: true, force: true });
}
