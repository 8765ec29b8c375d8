import { basename, join } from 'node:path';
import type { z } from 'zod';
import { ActivationDirectory } from '../activations/directory.js';
import { ArtifactDirectory } from '../artifact/directory.js';
import { sha256File, writeFileAtomic } from '../artifact/files.js';
import type { Manifest } from '../artifact/manifest.js';
import { readResult } from '../artifact/result.js';
import { requireSameCorpus } from '../diagnosis/diagnose.js';
import { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import { formatSite } from '../model/site.js';
import { readCorpus } from '../moral/read.js';
import type { WorkOptions } from '../progress.js';
import { requireItsActivations, requireItsModel } from '../sae/eval/requirements.js';
import { writeNeuronpedia } from '../sae/formats/neuronpedia.js';
import { openSae } from '../sae/formats/open-sae.js';
import { runOnOptions } from '../work-thread.js';
import { findFeatures } from './feature-run.js';
import { FeaturesOptions } from './features-options.js';
import { Features } from './features-schema.js';

export const FEATURES_FORMAT = 'moralscope.features';
const VERSION = 1;
const RESULT = 'features.json';

export interface FoundFeatures {
  features: Features;
  manifest: Manifest;
  /** Where manifest.json, features.json and neuronpedia/ lie. */
  directory: string;
}

/**
 * Screens the latents of a sparse autoencoder for moral features (docs/paper.md section 6), by the paper's rules and by ours: texts of one fold
 * choose, those of another judge, with permutation p, false discovery rate, minimal effect and interval; beside raw channels, random
 * directions of equal L0, and exchanged moral vectors. Describes what survives, and what is asked for. Writes manifest.json,
 * features.json and with a model neuronpedia/ to `out`; the same call again returns what is there.
 * @throws MoralscopeError `misuse` where autoencoder, activations, corpus and model do not belong together, or the activations have no
 * `last` states; `bad-data` for states that are no numbers or a corpus with too few texts; what the readers throw; `locked`, `disk`,
 * `cancelled`
 */
export function screenFeatures(options: z.input<typeof FeaturesOptions> & WorkOptions): Promise<FoundFeatures> {
  return runOnOptions(new URL('./features-thread.js', import.meta.url), FeaturesOptions, options);
}

/** `screenFeatures` in the thread that calls it, of options that are parsed. */
export async function screenHere(options: FeaturesOptions & WorkOptions): Promise<FoundFeatures> {
  const { onProgress, signal, threads, sae: path, activations: states, corpus: texts, model: source, out, ...deciding } = options;
  const { k, site, activationScale, seed, set, ...settings } = deciding;
  const opened = await openSae(path, { k, site, activationScale, signal });
  const { dIn, width } = opened.sae.spec;
  const beyond = (settings.features ?? []).find((latent) => latent >= width);
  if (beyond !== undefined)
    throw new MoralscopeError('misuse', `Latent ${beyond} was asked for; ${path} has ${width}, 0 to ${width - 1}.`);
  const activations = await ActivationDirectory.open(states);
  requireItsActivations(path, opened, activations);
  if (!activations.poolings.includes('last'))
    throw new MoralscopeError(
      'misuse',
      `${activations.path} holds no 'last' states, only ${activations.poolings.join(', ')}.`,
      'Capture with --pool last,tokens.',
    );
  const corpus = await readCorpus(texts);
  requireSameCorpus(activations, corpus);
  const model = source === undefined ? undefined : await LanguageModel.open(source, { threads, onProgress, signal });
  try {
    if (model) requireItsModel(model, activations);
    const inputs = [
      { name: 'activations', sha256: await sha256File(join(activations.path, 'manifest.json'), signal) },
      { name: 'corpus', sha256: corpus.sha256 },
      ...(model ? [{ name: 'model', sha256: model.sha256 }] : []),
    ];
    for (const file of opened.files) inputs.push({ name: `sae/${basename(file)}`, sha256: await sha256File(file, signal) });
    const directory = await ArtifactDirectory.open(out, {
      format: FEATURES_FORMAT,
      formatVersion: VERSION,
      seed,
      options: deciding,
      inputs,
    });
    const result = directory.file(RESULT);
    try {
      if (directory.finished) {
        const features = await readResult(result, Features);
        return { features, manifest: directory.finished, directory: directory.path };
      }
      const features = await findFeatures({ opened, activations, corpus, model, options });
      await writeFileAtomic(result, `${JSON.stringify(features, null, 1)}\n`);
      const neuronpedia = model ? await writeNeuronpediaFeatures(directory.file('neuronpedia'), features, set, signal) : 0;
      const { site: where } = opened.origin;
      const { screening } = features.readings.last;
      const manifest = await directory.finish({
        site: formatSite(where),
        dIn,
        width,
        tested: screening.tested,
        survivors: screening.survivors,
        described: features.features.length,
        neuronpedia,
        summary: features.summary,
      });
      return { features, manifest, directory: directory.path };
    } finally {
      await directory.close();
    }
  } finally {
    await model?.close();
  }
}

/** @returns how many features were written: those that are active on some text */
async function writeNeuronpediaFeatures(path: string, features: Features, set: string, signal?: AbortSignal): Promise<number> {
  const shown = features.features.filter(({ actions }) => actions.length > 0);
  // A token that ends inside a character adds no text, and Neuronpedia takes no empty one.
  const token = (text: string) => text || '\ufffd';
  const logits = (tokens: { token: string; value: number }[] | undefined) =>
    tokens?.map(({ token: text, value }) => ({ token: token(text), value }));
  await writeNeuronpedia(
    path,
    { modelId: features.model.name, layer: features.sae.site.layer, set },
    shown.map(({ latent, density, lens, actions }) => ({
      index: latent,
      density: density.tokens ?? density.texts,
      topLogits: logits(lens?.positive),
      bottomLogits: logits(lens?.negative),
      activations: actions.map(({ tokens, values }) => ({ tokens: tokens!.map(token), values: values! })),
    })),
    signal,
  );
  return shown.length;
}
