// A sparse autoencoder trained on stored token states beside SAELens on the same states with the same budget: FVU on other states, and time.
//   npm run bench -- sae-training --activations DIR --held DIR --layer N [--python PATH] [--width N] [--k N] [--tokens N] [--batch N] [--threads N] [--rates A,B]
// The peer needs a Python with sae-lens; without it our side alone is measured. It has the same freedom as we: its best learning rate
// counts, by default of two, the one that Gao et al. published for very long runs and the one that we take for this one.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ActivationDirectory } from '../dist/activations/directory.js';
import { parseOptions } from '../dist/options.js';
import { SaeEncoder } from '../dist/sae/encoder.js';
import { openSae } from '../dist/sae/formats/open-sae.js';
import { decode } from '../dist/sae/forward.js';
import { storedStates } from '../dist/sae/states.js';
import { trainSaes } from '../dist/sae/train.js';
import { TrainSaeOptions } from '../dist/sae/train-options.js';
import { publishedLearningRate } from '../dist/sae/training.js';

const { values: flags } = parseArgs({
  options: {
    activations: { type: 'string' },
    held: { type: 'string' },
    layer: { type: 'string' },
    python: { type: 'string' },
    width: { type: 'string', default: '4608' },
    k: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '4000000' },
    batch: { type: 'string', default: '2048' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    rates: { type: 'string' },
  },
});
const { activations, held, layer } = flags;
if (!activations || !held || !layer) throw new Error('give --activations, --held and --layer');
const [width, k, tokens, batch, threads] = [flags.width, flags.k, flags.tokens, flags.batch, flags.threads].map(Number);

/** sum ||x - x^||^2 / sum ||x - mean||^2 and mean number of active latents over the held states, sinks left out. */
async function quality(folder) {
  const directory = await ActivationDirectory.open(held);
  const shards = storedStates(directory, Number(layer), 'tokens');
  const { sae } = await openSae(folder, { site: `blocks.${layer}.hook_resid_post` });
  const encoder = await SaeEncoder.open(sae, threads);
  const sums = new Float64Array(shards.hidden);
  let [n, squares, error, active] = [0, 0, 0, 0];
  for (let shard = 0; shard < shards.count; shard++) {
    const states = await shards.load(shard);
    const rows = states.length / shards.hidden;
    const codes = await encoder.encode(states, rows);
    const back = decode(sae, codes, states);
    active += codes.latents.length;
    for (let i = 0; i < states.length; i++) {
      sums[i % shards.hidden] += states[i];
      squares += states[i] ** 2;
      error += (states[i] - back[i]) ** 2;
    }
    n += rows;
  }
  await encoder.close();
  const total = squares - sums.reduce((sum, value) => sum + value ** 2, 0) / n;
  return { fvu: error / total, l0: active / n, states: n };
}

const dir = await mkdtemp(join(tmpdir(), 'moralscope-bench-'));
try {
  const started = performance.now();
  const out = join(dir, 'ours');
  const options = { activations, out, layers: layer, width: [width], k: [k], tokens, batch, threads };
  const { manifest } = await trainSaes(parseOptions(TrainSaeOptions, options));
  const seconds = (performance.now() - started) / 1000;
  const [{ folder, dead }] = manifest.details.saes;
  const { training } = JSON.parse(await readFile(join(out, folder, 'cfg.json'), 'utf8')).metadata.moralscope;
  const ours = await quality(join(out, folder));
  const { states } = manifest.details;
  console.log(
    `topk of ${width} latents, k ${k}, layer ${layer}, ${states.toLocaleString('en')} states in batches of ${batch}; FVU on ${ours.states} other states`,
  );
  console.log(`  machine      ${cpus()[0]?.model.trim()}, ${threads} threads, node ${process.versions.node}`);
  const line = (name, { fvu, l0 }, time, more) =>
    console.log(
      `  ${name.padEnd(12)} FVU ${fvu.toFixed(4)}, L0 ${l0.toFixed(1)}, ${time.toFixed(0)} s, ${(states / time).toFixed(0)} states/s${more}`,
    );
  line('moralscope', ours, seconds, `, dead ${(100 * dead).toFixed(1)}%, learning rate ${training.learningRate.toPrecision(2)}`);
  if (flags.python) {
    const script = fileURLToPath(new URL('./sae_training_peer.py', import.meta.url));
    const { calibration } = (await ActivationDirectory.open(activations)).details;
    const { threshold } = calibration.find((sink) => sink.layer === Number(layer));
    const rates = new Set(flags.rates?.split(',').map(Number) ?? [publishedLearningRate(width), training.learningRate]);
    let best;
    for (const rate of rates) {
      const saved = join(dir, `peer-${rate}`);
      const request = { activations, layer: Number(layer), threshold, width, k, states, batch, threads, rate, out: saved };
      const run = spawnSync(flags.python, [script], {
        input: JSON.stringify(request),
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      if (run.status !== 0) throw new Error(`${flags.python} ended with status ${run.status}`);
      const peer = JSON.parse(run.stdout.trim().split('\n').at(-1));
      const theirs = await quality(saved);
      line(
        'SAELens',
        theirs,
        peer.seconds,
        `, learning rate ${rate.toPrecision(2)}; sae-lens ${peer.version}, torch ${peer.torch}`,
      );
      if (!best || theirs.fvu < best.fvu) best = { ...theirs, seconds: peer.seconds };
    }
    console.log(
      `  FVU ${(ours.fvu / best.fvu).toFixed(3)} of theirs at its best (goal 1.02 or less), ${(best.seconds / seconds).toFixed(2)}x as fast (goal 1)`,
    );
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}
