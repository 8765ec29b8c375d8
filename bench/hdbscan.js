// HDBSCAN of the paper's size against scikit-learn's on the same points: 16,315 x 100, one thread each.
//   npm run bench -- hdbscan [--python PATH] [--points N] [--columns D] [--shape decaying|isotropic]
// `decaying`: principal components as they come, each of less variance than the one before; `isotropic`: all alike, the worst case.
// The peer needs a Python with scikit-learn.
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from '../dist/random.js';
import { hdbscan } from '../dist/statistics/hdbscan.js';
import { adjustedRandIndex, Partition } from '../dist/statistics/partition.js';

const { values: flags } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    points: { type: 'string', default: '16315' },
    columns: { type: 'string', default: '100' },
    shape: { type: 'string', default: 'decaying' },
  },
});
const [n, d] = [Number(flags.points), Number(flags.columns)];
// The paper's parameters, in proportion.
const minClusterSize = Math.max(10, Math.round((100 * n) / 16315));
const minSamples = Math.max(5, Math.round((20 * n) / 16315));

/** Eight overlapping clouds. */
function points() {
  const random = new Random(1, 'bench', 'hdbscan');
  const spread = Float64Array.from({ length: d }, (_, j) => (flags.shape === 'isotropic' ? 0.3 : (j + 1) ** -0.5));
  const centres = Float64Array.from({ length: 8 * d }, (_, at) => 1.2 * spread[at % d] * random.normal());
  return Float32Array.from({ length: n * d }, (_, at) => {
    const cloud = Math.floor(at / d) % 8;
    return centres[cloud * d + (at % d)] + spread[at % d] * random.normal();
  });
}

const dir = await mkdtemp(join(tmpdir(), 'moralscope-bench-'));
try {
  const x = points();
  const file = join(dir, 'points.f32');
  await writeFile(file, new Uint8Array(x.buffer));
  const start = performance.now();
  const before = process.cpuUsage();
  const labels = hdbscan(x, n, d, { minClusterSize, minSamples });
  const { user, system } = process.cpuUsage(before);
  const ours = { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 };
  const out = join(dir, 'labels.i32');
  const peer = new URL('./hdbscan_peer.py', import.meta.url).pathname;
  const environment = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' };
  const theirs = JSON.parse(
    execFileSync(flags.python, [peer, file, out, n, d, minClusterSize, minSamples].map(String), {
      encoding: 'utf8',
      env: environment,
    }),
  );
  const peerLabels = new Int32Array(new Uint8Array(await readFile(out)).buffer);
  const agreement = adjustedRandIndex(new Partition(labels), new Partition(peerLabels));
  if (agreement < 0.99) throw new Error(`the two did not find the same clusters: ARI ${agreement}`);
  const times = ({ seconds, cpu }) => `${seconds.toFixed(1)} s wall, ${cpu.toFixed(1)} s of processor`;
  console.log(`HDBSCAN, ${n} x ${d} ${flags.shape}: ${new Set(labels).size - Number(labels.includes(-1))} clusters`);
  console.log(
    `  machine       ${cpus()[0]?.model.trim()}, ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}, node ${process.versions.node}`,
  );
  console.log(`  moralscope    ${times(ours)}`);
  console.log(`  scikit-learn  ${times(theirs)}; ${theirs.version}`);
  console.log(
    `  ratio         ${(theirs.seconds / ours.seconds).toFixed(1)}x wall (goal 2x), ${(theirs.cpu / ours.cpu).toFixed(1)}x processor`,
  );
  console.log(
    `  labels        ${labels.filter((label, i) => label !== peerLabels[i]).length} differ, ARI ${agreement.toFixed(5)}`,
  );
} finally {
  await rm(dir, { recursive: true, force: true });
}
