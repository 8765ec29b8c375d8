import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { ArtifactDirectory } from '../artifact/directory.js';
import { writeFileAtomic } from '../artifact/files.js';
import { type Manifest, TOOL } from '../artifact/manifest.js';
import { MoralscopeError } from '../errors.js';
import { formatSite } from '../model/site.js';
import type { WorkOptions } from '../progress.js';
import { runOnOptions } from '../work-thread.js';
import { SaeEncoder } from './encoder.js';
import { writeSaeLens } from './formats/saelens.js';
import { decode } from './forward.js';
import { geometricMedian } from './geometric-median.js';
import { LayerTraining, type TrainedSae, type Variant } from './layer-training.js';
import { TrainSaeOptions } from './train-options.js';
import { trainingConfig } from './training.js';
import { TrainingData } from './training-data.js';

export const SAE_TRAINING = 'moralscope.sae-training';
const VERSION = 1;

/** States of a run where the options name neither tokens nor epochs. */
const TOKENS = 4_000_000;

/** A trained autoencoder as the manifest and `sae train` report it. */
export interface TrainedSummary {
  /** Its folder, a SAELens directory with metrics.jsonl beside the weights. */
  folder: string;
  layer: number;
  architecture: string;
  width: number;
  k: number;
  /** On the states that came after the last step. */
  fvu: number;
  l0: number;
  dead: number;
}

/**
 * Trains sparse autoencoders on a layer's states, one layer after another, every width and k on the same states. The same call
 * takes up an unfinished run, and ends with the same bytes as an uninterrupted one.
 * @throws MoralscopeError `misuse` (options; another run in `out`), `bad-data` (states that are no numbers), `locked`, `disk`,
 * `cancelled`, and what capture throws
 */
export function trainSaes(options: z.input<typeof TrainSaeOptions> & WorkOptions): Promise<{ path: string; manifest: Manifest }> {
  return runOnOptions(new URL('./train-thread.js', import.meta.url), TrainSaeOptions, options);
}

/** `trainSaes` in the thread that calls it, of options that are parsed. */
export async function trainHere(options: TrainSaeOptions & WorkOptions): Promise<{ path: string; manifest: Manifest }> {
  const { onProgress, signal, resume, ...given } = options;
  const { out, keepActivations, threads: _, checkpointEvery: __, ...settings } = given;
  if (resume && !existsSync(join(out, '.begun.json')) && !existsSync(join(out, 'manifest.json')))
    throw new MoralscopeError('misuse', `There is no run to resume in ${out}.`, 'Leave --resume out to begin one.');
  const data = await TrainingData.find(given, { onProgress, signal });
  // Where its inputs lie does not matter, what they hold does.
  const { activations: _a, model: _m, text: _t, corpus: _c, ...deciding } = settings;
  const directory = await ArtifactDirectory.open(out, {
    format: SAE_TRAINING,
    formatVersion: VERSION,
    seed: options.seed,
    options: deciding,
    inputs: [...data.inputs],
  });
  try {
    if (directory.finished) return { path: directory.path, manifest: directory.finished };
    return { path: directory.path, manifest: await train(directory, data, { ...options, keepActivations }) };
  } finally {
    await directory.close();
  }
}

async function train(
  directory: ArtifactDirectory,
  data: TrainingData,
  options: TrainSaeOptions & WorkOptions,
): Promise<Manifest> {
  const { onProgress, signal, seed, keepActivations, batch } = options;
  // The capture need not go on once nothing is left to learn.
  const ended = new AbortController();
  const stop = () => ended.abort();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  try {
    await data.begin(directory.path, { onProgress, signal: ended.signal });
    const states = await data.statesOfEpoch();
    const tokens = options.tokens ?? (options.epochs === undefined ? TOKENS : Math.round(options.epochs * states));
    const steps = Math.max(1, Math.ceil(tokens / batch));
    const saes: TrainedSummary[] = [];
    for (const layer of data.layers) {
      const summary = directory.file(`L${layer}.json`);
      const before = await readFile(summary, 'utf8').catch(() => undefined);
      if (before === undefined) {
        const training = new LayerTraining({
          directory: directory.path,
          layer,
          variants: variants(options, { layer, steps, dIn: data.model.hidden }),
          deck: (positions) => data.deck(layer, seed, positions),
          centre: geometricMedian,
          checkpointEvery: options.checkpointEvery,
          onProgress,
          signal,
        });
        const trained: TrainedSummary[] = [];
        for (const one of await training.run()) trained.push(await keep(directory, data, layer, one, options));
        await writeFileAtomic(summary, JSON.stringify(trained));
        await training.clear();
        saes.push(...trained);
      } else saes.push(...(JSON.parse(before) as TrainedSummary[]));
    }
    stop();
    await data.ended();
    if (!keepActivations) await data.discard();
    const manifest = await directory.finish({
      model: data.model,
      site: data.site,
      layers: data.layers,
      states: steps * batch,
      epochs: (steps * batch) / states,
      steps,
      saes,
    });
    for (const layer of data.layers) await rm(directory.file(`L${layer}.json`), { force: true });
    return manifest;
  } finally {
    stop();
    await data.ended();
    signal?.removeEventListener('abort', stop);
  }
}

function variants(options: TrainSaeOptions, { layer, steps, dIn }: { layer: number; steps: number; dIn: number }): Variant[] {
  const { arch: architecture, batch, seed, learningRate, warmup, decay, auxWeight, lambda, clip, threads } = options;
  const figures = { batch, steps, seed, learningRate, warmup, decay, auxWeight, lambda, clip, threads };
  return options.width.flatMap((width) =>
    options.k.map((k) => ({
      name: `L${layer}-${architecture}-w${width}-k${k}`,
      config: trainingConfig({ architecture, dIn, width, k, ...figures }),
    })),
  );
}

/** Measures a trained autoencoder and writes it as a SAELens directory. */
async function keep(
  directory: ArtifactDirectory,
  data: TrainingData,
  layer: number,
  { variant, sae, metrics, next }: TrainedSae,
  options: TrainSaeOptions & WorkOptions,
): Promise<TrainedSummary> {
  const { dIn, width } = sae.spec;
  const n = next.length / dIn;
  const encoder = await SaeEncoder.open(sae, options.threads, options.signal);
  const fires = new Int32Array(width);
  let found: { fvu: number; l0: number };
  try {
    const codes = await encoder.encode(next, n);
    for (const latent of codes.latents) fires[latent]++;
    found = { fvu: fvu(next, decode(sae, codes, next), dIn), l0: codes.latents.length / n };
  } finally {
    await encoder.close();
  }
  const { name, config } = variant;
  // What the machine had to give plays no part in the numbers.
  const { memory: _, threads: __, ...training } = config;
  await writeSaeLens(
    directory.file(name),
    {
      sae,
      origin: {
        site: { layer, point: data.site },
        modelName: data.model.name,
        datasetPath: options.text?.join(',') ?? options.corpus,
      },
      logSparsity: Float32Array.from(fires, (count) => Math.log10(count / n + 1e-10)),
    },
    { version: TOOL.version, model: data.model, hook: formatSite({ layer, point: data.site }), training, last: metrics },
    options.signal,
  );
  return { folder: name, layer, architecture: sae.spec.architecture, width, k: config.k, ...found, dead: metrics.dead };
}

/** sum ||x - x^||^2 / sum ||x - mean||^2, both over all states first. */
function fvu(x: Float32Array, back: Float32Array, width: number): number {
  const n = x.length / width;
  const mean = new Float64Array(width);
  for (let i = 0; i < x.length; i++) mean[i % width] += x[i] / n;
  let [error, total] = [0, 0];
  for (let i = 0; i < x.length; i++) {
    error += (x[i] - back[i]) ** 2;
    total += (x[i] - mean[i % width]) ** 2;
  }
  return error / total;
}
