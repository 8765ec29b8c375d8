import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { z } from 'zod';
import type { Stored } from '../../activations/details.js';
import { ActivationDirectory } from '../../activations/directory.js';
import { fillTemplate } from '../../activations/template.js';
import { readTexts } from '../../activations/text-file.js';
import { ArtifactDirectory } from '../../artifact/directory.js';
import { sha256, sha256File, writeFileAtomic } from '../../artifact/files.js';
import { readResult } from '../../artifact/result.js';
import { requireSameCorpus } from '../../diagnosis/diagnose.js';
import { MoralscopeError } from '../../errors.js';
import { MatMul } from '../../graph/matmul.js';
import { LanguageModel } from '../../model/language-model.js';
import type { Precision } from '../../model/precision.js';
import { formatSite } from '../../model/site.js';
import { readCorpus } from '../../moral/read.js';
import { parseOptions } from '../../options.js';
import type { WorkOptions } from '../../progress.js';
import { Random } from '../../random.js';
import { runInThread } from '../../work-thread.js';
import { SaeEncoder } from '../encoder.js';
import { openSae } from '../formats/open-sae.js';
import type { OpenedSae } from '../formats/stored-sae.js';
import { sinkThreshold } from '../states.js';
import { baselinesFor, randomDirections } from './baselines.js';
import { decoderCosines } from './decoder-cosines.js';
import { momentsOf } from './moments.js';
import { EvalSaeOptions } from './options.js';
import { sparseProbing } from './probing.js';
import { measureReconstruction } from './reconstruction.js';
import { requireEvalMemory, requireItsActivations, requireItsModel, trainedOn } from './requirements.js';
import { type MeasuredStates, SaeEval } from './schema.js';
import { spliceFigures } from './splice.js';
import { StoredStates } from './state-stream.js';

export const SAE_EVAL = 'moralscope.sae-eval';
const VERSION = 1;
const RESULT = 'sae-eval.json';

/** In the order in which they are shown. */
const KINDS: readonly Stored[] = ['tokens', 'last', 'content', 'mean'];

export interface EvaluatedSae {
  evaluation: SaeEval;
  /** Where manifest.json and sae-eval.json lie. */
  directory: string;
}

/**
 * Measures a sparse autoencoder, beside random directions and principal components of equal L0: reconstruction of the stored
 * states (FVU and the rest, on tokens and on every pooling that the directory holds); with a model the cross-entropy and
 * divergence that splicing it in costs; with a corpus sparse probing of the ten moral poles. Writes manifest.json and
 * sae-eval.json to `out`; the same call again returns what is there.
 * @param sae whatever `openSae` takes
 * @throws MoralscopeError `misuse` where autoencoder, activations, model or corpus do not belong together, or memory does not
 * suffice; `bad-data` for states that are no numbers; what `openSae` and the readers throw; `locked`, `disk`, `cancelled`
 */
export async function evaluateSae(
  sae: string,
  { onProgress, signal, ...given }: z.input<typeof EvalSaeOptions> & WorkOptions,
): Promise<EvaluatedSae> {
  const options = parseOptions(EvalSaeOptions, given);
  return runInThread(new URL('./evaluate-thread.js', import.meta.url), { sae, options }, { onProgress, signal });
}

/** `evaluateSae` in the thread that calls it, of options that are parsed. */
export async function evaluateHere(path: string, options: EvalSaeOptions & WorkOptions): Promise<EvaluatedSae> {
  const { onProgress, signal, seed, bootstraps, k, site, activationScale, maxStates, maxTexts = 1000 } = options;
  checkOptions(options);
  const work = { onProgress, signal };
  const opened = await openSae(path, { k, site, activationScale, signal });
  const activations = await ActivationDirectory.open(options.activations);
  requireItsActivations(path, opened, activations);
  const corpus = options.corpus === undefined ? undefined : await readCorpus(options.corpus);
  if (corpus) requireSameCorpus(activations, corpus);
  const model = options.model === undefined ? undefined : await LanguageModel.open(options.model, work);
  try {
    if (model) requireItsModel(model, activations);
    const { dIn, width } = opened.sae.spec;
    const { shards, layers, poolings } = activations.details;
    // A shard holds all layers and poolings, of which one is read at a time.
    const shardBytes =
      Math.max(...shards.map(({ bytes }) => bytes)) / (layers.length * (poolings.includes('tokens') ? 1 : poolings.length));
    requireEvalMemory(
      { dIn, width, shardBytes, model: model && { parameters: model.parameters, vocabulary: model.spec.vocabulary } },
      process.availableMemory(),
    );
    const texts = model && (await textsToSplice(activations, { ...options, maxTexts }));
    const directory = await ArtifactDirectory.open(options.out, {
      format: SAE_EVAL,
      formatVersion: VERSION,
      seed,
      options: { bootstraps, maxStates, maxTexts, site: formatSite(opened.origin.site), k: opened.sae.spec.k, activationScale },
      inputs: [
        ...(await Promise.all(
          opened.files.map(async (file) => ({ name: basename(file), sha256: await sha256File(file, signal) })),
        )),
        { name: 'activations', sha256: await sha256File(join(activations.path, 'manifest.json')) },
        ...(model ? [{ name: model.name, sha256: model.sha256 }] : []),
        ...(texts ? [{ name: texts.source, sha256: sha256(JSON.stringify(texts.texts)) }] : []),
        ...(corpus ? [{ name: corpus.name, sha256: corpus.sha256 }] : []),
      ],
    });
    const file = directory.file(RESULT);
    try {
      if (directory.finished && existsSync(file))
        return { evaluation: await readResult(file, SaeEval), directory: directory.path };
      const evaluation = await evaluate(path, opened, { activations, corpus, model, texts }, options);
      await writeFileAtomic(file, `${JSON.stringify(evaluation, null, 1)}\n`);
      await directory.finish({ sae: evaluation.sae, site: evaluation.site.name });
      return { evaluation, directory: directory.path };
    } finally {
      await directory.close();
    }
  } finally {
    await model?.close();
  }
}

function checkOptions({ model, text, maxTexts }: EvalSaeOptions): void {
  if (model !== undefined || (text ?? maxTexts) === undefined) return;
  const idle = text === undefined ? '--max-texts' : '--text';
  throw new MoralscopeError(
    'misuse',
    `${idle} is of the texts that the autoencoder is spliced on, which takes a model.`,
    `Give --model, or leave ${idle} out.`,
  );
}

/** What the autoencoder is measured with. */
interface Subjects {
  activations: ActivationDirectory;
  corpus: Awaited<ReturnType<typeof readCorpus>> | undefined;
  model: LanguageModel | undefined;
  texts: { texts: string[]; source: string } | undefined;
}

async function evaluate(
  path: string,
  opened: OpenedSae,
  { activations, corpus, model, texts }: Subjects,
  options: EvalSaeOptions & WorkOptions,
): Promise<SaeEval> {
  const { seed, bootstraps, threads, onProgress, signal } = options;
  const { sae, origin, format } = opened;
  const { layer } = origin.site;
  const { details } = activations;
  const threshold = sinkThreshold(details.calibration, layer);
  const matmul = await MatMul.open(threads, signal);
  const encoder = await SaeEncoder.open(sae, threads, signal);
  try {
    const reconstruction: MeasuredStates[] = [];
    for (const kind of KINDS.filter((stored) => activations.poolings.includes(stored)))
      reconstruction.push(
        await measureStates(
          new StoredStates(activations, layer, kind, { most: options.maxStates, signal }),
          encoder,
          matmul,
          options,
        ),
      );
    onProgress?.({ task: 'decoder cosines', done: 0, total: 2, unit: 'steps' });
    const ofSae = await decoderCosines(sae, matmul);
    const { dIn, width } = sae.spec;
    const directions = randomDirections({ d: dIn, mean: new Float64Array(dIn) }, width, 1, seed);
    onProgress?.({ task: 'decoder cosines', done: 1, total: 2, unit: 'steps' });
    const ofRandom = await decoderCosines(directions, matmul);
    onProgress?.({ task: 'decoder cosines', done: 2, total: 2, unit: 'steps' });
    const splice =
      model && texts
        ? await spliceFigures(
            {
              model,
              precision: details.model.precision as Precision,
              ...texts,
              maxTokens: details.maxTokens,
              site: origin.site,
              sinkThreshold: threshold,
              sae,
              bootstraps,
              seed,
              threads,
              onProgress,
              signal,
            },
            matmul,
          )
        : { why: 'no model was given to splice it into' };
    const probing = corpus
      ? await sparseProbing({ directory: activations, corpus, layer, encoder, bootstraps, seed, onProgress, signal }, matmul)
      : { why: 'no corpus was given whose moral vectors could be probed' };
    return SaeEval.parse({
      version: 1,
      sae: {
        path: basename(path),
        format,
        architecture: sae.spec.architecture,
        width,
        dIn,
        k: sae.spec.k ?? null,
        modelName: origin.modelName ?? null,
        modelSha256: trainedOn(opened) ?? null,
      },
      model: { name: details.model.name, sha256: details.model.sha256, precision: details.model.precision },
      site: { ...origin.site, name: formatSite(origin.site) },
      corpus: corpus ? { name: corpus.name, authored: corpus.authored, sha256: corpus.sha256 } : null,
      template: details.template,
      seed,
      bootstraps,
      sinkThreshold: threshold,
      reconstruction,
      decoderCosines: { sae: ofSae, random: ofRandom },
      splice,
      probing,
      manifest: { activations: activations.manifest, ...(origin.more && { sae: origin.more }) },
    });
  } finally {
    await encoder.close();
    await matmul.close();
  }
}

/** The autoencoder and its baselines on one kind of states. */
async function measureStates(
  stream: StoredStates,
  encoder: SaeEncoder,
  matmul: MatMul,
  { seed, bootstraps, threads, onProgress, signal }: EvalSaeOptions & WorkOptions,
): Promise<MeasuredStates> {
  onProgress?.({ task: `spread of ${stream.stored}`, done: 0, total: stream.about, unit: 'rows' });
  const moments = await momentsOf(stream, matmul);
  onProgress?.({ task: `spread of ${stream.stored}`, done: moments.n, total: moments.n, unit: 'rows' });
  const baselines = await baselinesFor(encoder, moments, { seed, threads, signal });
  const measured = (sae: OpenedSae['sae'], name: string) =>
    measureReconstruction(sae, stream, {
      mean: moments.mean,
      bootstraps,
      seed,
      threads,
      signal,
      onProgress,
      name: `${stream.stored}, ${name}`,
    });
  const arms = {
    sae: await measured(encoder.sae, 'autoencoder'),
    random: await measured(baselines.random, 'random directions'),
    pca: await measured(baselines.pca, 'principal components'),
  };
  const { stored: states, sinks, stride, texts } = stream;
  return { states, n: moments.n, texts, sinks, stride, arms };
}

/** The texts to splice on, as the model reads them, and what they are. */
async function textsToSplice(
  activations: ActivationDirectory,
  { text, maxTexts, seed, onProgress, signal }: EvalSaeOptions & WorkOptions & { maxTexts: number },
): Promise<{ texts: string[]; source: string }> {
  const all =
    text === undefined
      ? (await activations.texts()).map((one) => fillTemplate(activations.details.template, one))
      : await readTexts(text, { onProgress, signal });
  const source = text === undefined ? 'texts of the activations' : basename(text);
  if (all.length <= maxTexts) return { texts: all, source };
  const drawn = new Random(seed, 'texts to splice').permutation(all.length).subarray(0, maxTexts).sort();
  return { texts: Array.from(drawn, (i) => all[i]), source };
}
