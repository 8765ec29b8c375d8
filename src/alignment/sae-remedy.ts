/** @file Realigned autoencoders as a remedy (docs/paper.md section 7), with the controls of section 8. */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ActivationDirectory } from '../activations/directory.js';
import type { ArtifactDirectory } from '../artifact/directory.js';
import { sha256File } from '../artifact/files.js';
import type { KeptWork } from '../artifact/kept-work.js';
import type { Manifest } from '../artifact/manifest.js';
import type { SafetensorsTensor } from '../checkpoint/safetensors.js';
import { requireSameCorpus } from '../diagnosis/diagnose.js';
import { number } from '../diagnosis/verdict.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { MatMul } from '../graph/matmul.js';
import type { Latents } from '../model/intervention.js';
import { LanguageModel } from '../model/language-model.js';
import { formatSite } from '../model/site.js';
import type { Corpus } from '../moral/corpus.js';
import { readCorpus } from '../moral/read.js';
import type { WorkOptions } from '../progress.js';
import { requireItsActivations, requireItsModel } from '../sae/eval/requirements.js';
import { openSae } from '../sae/formats/open-sae.js';
import { writeSaeLens } from '../sae/formats/saelens.js';
import type { OpenedSae } from '../sae/formats/stored-sae.js';
import { sinkThreshold } from '../sae/states.js';
import type { PreparedRemedy } from './align.js';
import type { AlignSettings } from './align-options.js';
import { withRows } from './chosen-rows.js';
import { contrastOfCorpus, fittedTexts } from './contrast.js';
import { meanLength } from './linear-evaluation.js';
import type { MadeRemedy } from './remedy.js';
import { armNames, randomArms, randomDirections } from './remedy-controls.js';
import { type Arm, type BesideControls, REMEDY_ARM, type RemedyContent, type RemedySite } from './remedy-schema.js';
import { SHARED, tensorName } from './remedy-tensors.js';
import { evaluateSite } from './sae-evaluation.js';
import { changesOf, deltaOf, type SaeFit } from './sae-fit.js';
import { actingPooling, alignSite, POOLING, type SaeAlignmentSettings } from './sae-site.js';

type Options = AlignSettings & WorkOptions;

/** How aligned autoencoders change a state, the usual way first. */
const MODES: ['delta', 'blend'] = ['delta', 'blend'];

interface Inputs {
  saes: { path: string; opened: OpenedSae }[];
  activations: ActivationDirectory;
  corpus: Corpus;
  tokenizer: string | null;
}

/** Opens the autoencoders and what they are aligned on. */
export async function prepareSae(options: Options): Promise<PreparedRemedy> {
  const { onProgress, signal, threads, profile } = options;
  if (profile === 'paper' && (options.level ?? options.minEffect ?? options.permutations) !== undefined)
    throw new MoralscopeError(
      'misuse',
      "--level, --min-effect and --permutations decide the rigorous profile's choice of latents; the paper chooses by r alone.",
      'Leave them out, or --profile paper.',
    );
  const activations = await ActivationDirectory.open(options.activations!);
  const saes: Inputs['saes'] = [];
  for (const path of options.sae!) {
    const opened = await openSae(path, { signal });
    requireItsActivations(path, opened, activations);
    const twin = saes.find((other) => formatSite(other.opened.origin.site) === formatSite(opened.origin.site));
    if (twin)
      throw new MoralscopeError(
        'misuse',
        `${twin.path} and ${path} are both of ${formatSite(opened.origin.site)}.`,
        'Give one autoencoder a layer.',
      );
    saes.push({ path, opened });
  }
  saes.sort((a, b) => a.opened.origin.site.layer - b.opened.origin.site.layer);
  const pooling = POOLING[profile];
  if (!activations.poolings.includes(pooling))
    throw new MoralscopeError(
      'misuse',
      `${activations.path} holds no '${pooling}' states, on which the ${profile} profile aligns; only ${activations.poolings.join(', ')}.`,
      `Capture with --pool ${pooling}.`,
    );
  const corpus = await readCorpus(options.corpus!);
  requireSameCorpus(activations, corpus);
  const inputs: Manifest['inputs'] = [
    { name: 'corpus', sha256: corpus.sha256 },
    { name: 'activations', sha256: await sha256File(join(activations.path, 'manifest.json'), signal) },
  ];
  for (const [i, { opened }] of saes.entries())
    for (const file of opened.files) inputs.push({ name: `sae/${i}/${basename(file)}`, sha256: await sha256File(file, signal) });
  let { tokenizer } = activations.details.model;
  if (options.model !== undefined) {
    const model = await LanguageModel.open(options.model, { threads, onProgress, signal });
    try {
      requireItsModel(model, activations);
      tokenizer = model.tokenizer.sha256;
      inputs.push({ name: 'model', sha256: model.sha256 });
    } finally {
      await model.close();
    }
  }
  return {
    inputs,
    make: (directory, kept) => makeSae({ saes, activations, corpus, tokenizer }, options, directory, kept),
    close: async () => {},
  };
}

async function makeSae(
  { saes, activations, corpus, tokenizer }: Inputs,
  options: Options,
  directory: ArtifactDirectory,
  kept: KeptWork,
): Promise<MadeRemedy> {
  const { seed, threads, onProgress, signal, profile, controls, shuffles, directions } = options;
  const { details, hidden } = activations;
  const contrast = contrastOfCorpus(corpus, seed);
  const targets = contrast.targets!;
  const settings: SaeAlignmentSettings = { ...settingsOf(options), shuffles: controls ? shuffles : 0 };
  const shuffled = armNames('shuffled', settings.shuffles);
  const relabelled = armNames('relabelled', settings.shuffles);
  const random = randomArms(controls ? directions : 0, seed, MODES);
  const tensors: Record<string, SafetensorsTensor> = {};
  const put = (arm: string, site: string, name: string, data: Float32Array, ...shape: number[]) => {
    tensors[tensorName(arm, site, name)] = { dtype: 'F32', shape, data: new Float32Array(data) };
  };
  const putLatents = (arm: string, site: string, side: 'before' | 'after', { wEnc, bEnc, wDec, threshold }: Latents) => {
    const f = bEnc.length;
    put(arm, site, `${side}.wEnc`, wEnc, hidden, f);
    put(arm, site, `${side}.bEnc`, bEnc, f);
    put(arm, site, `${side}.wDec`, wDec, f, hidden);
    if (threshold) put(arm, site, `${side}.threshold`, threshold, f);
  };
  const sites: RemedySite[] = [];
  const matmul = await MatMul.open(threads, signal);
  try {
    for (const { path, opened } of saes) {
      throwIfCancelled(signal);
      const { origin } = opened;
      const site = formatSite(origin.site);
      const { layer } = origin.site;
      const aligned = await alignSite(
        opened.sae,
        activations,
        { site, layer, where: `${site} (${basename(path)})` },
        { ...contrast, targets },
        matmul,
        settings,
        kept,
        { onProgress, signal },
      );
      const { before, fit } = aligned;
      put(SHARED, site, 'centre', deltaOf(before, fit).centre, hidden);
      const fits: (readonly [string, SaeFit])[] = [
        [REMEDY_ARM, fit],
        ...shuffled.map((name, i) => [name, aligned.shuffled[i]] as const),
        ...relabelled.map((name, i) => [name, aligned.relabelled[i]] as const),
      ];
      for (const [arm, own] of fits) {
        const change = deltaOf(before, own);
        putLatents(arm, site, 'before', change.before);
        putLatents(arm, site, 'after', change.after);
        const { latents } = own.chosen;
        tensors[tensorName(arm, site, 'latents')] = { dtype: 'I32', shape: [latents.length], data: Int32Array.from(latents) };
      }
      const delta = await changesOf(fit, aligned.acting, matmul);
      const changes = { delta, blend: delta.map((value, at) => value - aligned.acting.residual[at]) };
      for (const mode of MODES)
        randomDirections(random.length / 2, hidden, meanLength(changes[mode], hidden), seed, site).forEach((direction, i) => {
          put(random[i].name, site, `${mode}.direction`, direction, hidden);
        });
      const after = withRows(before, fit.chosen.latents, fit.rows);
      const folder = `sae/${site}`;
      await mkdir(directory.file(folder), { recursive: true });
      await writeSaeLens(
        directory.file(folder),
        { sae: after, origin },
        {
          model: { name: details.model.name, sha256: details.model.sha256 },
          aligned: { profile, latents: fit.chosen.latents.length },
        },
        signal,
      );
      const threshold = sinkThreshold(details.calibration, layer);
      const place = { site, sinkThreshold: threshold, pooling: POOLING[profile], after };
      sites.push({
        site,
        layer,
        sinkThreshold: threshold,
        modes: [...MODES],
        sae: { folder, architecture: after.spec.architecture, width: after.spec.width },
        ...(await evaluateSite(aligned, place, { ...contrast, targets }, matmul, settings)),
      });
    }
  } finally {
    await matmul.close();
  }
  const arms: Arm[] = [
    { name: REMEDY_ARM, kind: 'remedy', modes: MODES },
    ...(controls ? [{ name: 'unaligned', kind: 'unaligned', modes: ['blend'] } satisfies Arm] : []),
    ...shuffled.map((name): Arm => ({ name, kind: 'shuffled', modes: MODES, seed })),
    ...relabelled.map((name): Arm => ({ name, kind: 'relabelled', modes: MODES, seed })),
    ...random,
  ];
  const { name, sha256, layers, precision } = details.model;
  const content: Omit<RemedyContent, 'summary'> = {
    version: 1,
    kind: 'sae',
    profile,
    model: { name, sha256, tokenizer, hidden, layers, precision },
    template: details.template,
    corpus: { name: corpus.name, authored: corpus.authored, sha256: corpus.sha256, pairs: false },
    seed,
    sites,
    arms,
    notes: notesOf(sites, tokenizer, random.length > 0 ? actingPooling(activations, profile) : undefined),
  };
  return { content: { ...content, summary: summarise(content) }, tensors, fittedTexts: fittedTexts(contrast) };
}

function settingsOf(options: Options): Omit<SaeAlignmentSettings, 'shuffles'> {
  const { profile, seed, threads, epochs = 50, patience = 10, batch = 512, learningRate = 1e-4 } = options;
  const { level = 0.05, minEffect = 0.1, permutations = 10_000 } = options;
  const training = { epochs, patience, batch, learningRate, weightDecay: 0.01 };
  return { profile, seed, threads, ...training, level, minEffect, permutations };
}

/** FVU above which an autoencoder's reconstruction is worse than nothing but the mean. */
const WORTHLESS = 1;

/** Control fits whose changes are shorter than this share of the remedy's say little of it. */
const COMPARABLE = 0.5;

/** Says which kinds of control fits change states much less than the remedy does, by the mean lengths of their changes. */
function sizeNotes(layer: number, { after, ...controls }: BesideControls): string[] {
  if (after === null) return [];
  const kinds = { 'shuffled fits': controls.shuffled, 'relabelled fits': controls.relabelled };
  // Two digits of the remedy's, however short it is.
  const length = (value: number) => number(value, Math.max(2, 1 - Math.floor(Math.log10(after))));
  return Object.entries(kinds).flatMap(([kind, of]) =>
    of && of.mean < COMPARABLE * after
      ? [
          `Layer ${layer}: ${kind} change states by ${length(of.mean)} on average where the remedy changes them by ${length(after)}: that the remedy is above them may be a matter of size.`,
        ]
      : [],
  );
}

/**
 * What a reader of the remedy should know of its layers.
 * @param random the pooling of the states that random directions are measured by, where there are any
 */
export function notesOf(sites: readonly RemedySite[], tokenizer: string | null, random: string | undefined): string[] {
  const notes: string[] = [];
  for (const { layer, alignment } of sites) {
    const { pooling, fidelity, thresholds, bestEpoch, beside } = alignment!;
    if (fidelity.original.fvu > WORTHLESS)
      notes.push(
        `Layer ${layer}: of '${pooling}' states the autoencoder leaves ${number(fidelity.original.fvu)} of the variance unexplained, more than their mean alone would: it was trained on others (sae train --states ${pooling}).`,
      );
    if (thresholds && thresholds.on === pooling)
      notes.push(
        `Layer ${layer}: thresholds were fitted on '${pooling}' states alone; on other tokens more or fewer latents may be active, which matters to blend (capture --pool ${pooling},tokens).`,
      );
    if (bestEpoch === 0) notes.push(`Layer ${layer}: training did not lower the validation loss, so nothing was changed.`);
    notes.push(...sizeNotes(layer, beside.changeNorm));
  }
  if (random !== undefined && random !== 'last')
    notes.push(
      `Random directions are as long as the mean change of '${random}' states, since the activations hold no 'last' ones; of single tokens, on which the remedy acts, it may be longer or shorter (capture --pool last,${random}).`,
    );
  if (sites.length > 1) notes.push('Each layer was aligned on states that no other layer had changed.');
  if (tokenizer === null)
    notes.push('The activations do not say which tokenizer they came with, so it is not checked: give --model.');
  return notes;
}

/** The outcome in plain words. */
function summarise({ model, sites, arms, profile }: Omit<RemedyContent, 'summary'>): string {
  const lines = sites.map(({ layer, features, alignment }) => {
    const { texts, beside, activation, fidelity } = alignment!;
    const range = ({ shuffled, relabelled }: Pick<BesideControls, 'shuffled' | 'relabelled'>) => {
      const fits = Object.entries({ 'shuffled fits': shuffled, 'the same latents relabelled': relabelled });
      const told = fits.flatMap(([name, of]) => (of ? [`${name} ${number(of.q025)} to ${number(of.q975)}`] : []));
      return told.length > 0 ? ` (${told.join('; ')})` : '';
    };
    const both = ({ before, after }: BesideControls) => `${number(before)} before and ${number(after)} after`;
    const { value, ci95 } = activation.rise;
    const interval = ci95 ? ` [${number(ci95[0])}, ${number(ci95[1])}]` : '';
    return [
      `layer ${layer}: ${features!.length} latents aligned; on ${texts.test} unseen texts the mean Spearman of what they say of a pole with its judgments is ${both(beside.activation)}, a rise of ${number(value)}${interval}${range(activation.rise)}`,
      `the mean cosine of opposed prototypes ${both(beside.opposition)}${range(beside.opposition)}`,
      `the AUC of a probe of the unchanged states ${both(beside.probe)}${range(beside.probe)}`,
      `FVU ${number(fidelity.converted.fvu)} before and ${number(fidelity.aligned.fvu)} after`,
    ].join('; ');
  });
  const controls = arms.length > 1 ? ` ${arms.length - 1} controls stand beside it.` : '';
  return `sae for ${model.name} (${profile}); ${lines.join('. ')}.${controls} What the model then says is for verify to measure.`;
}
