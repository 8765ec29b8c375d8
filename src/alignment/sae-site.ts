/** @file Alignment of one autoencoder: made free of competition, its latents chosen, trained, held against its controls. */
import type { ActivationDirectory } from '../activations/directory.js';
import type { KeptWork } from '../artifact/kept-work.js';
import { requireFinite } from '../diagnosis/states.js';
import { throwIfCancelled } from '../errors.js';
import type { MatMul } from '../graph/matmul.js';
import { takeRows } from '../model/token-rows.js';
import type { ProgressEvent, WorkOptions } from '../progress.js';
import { Random } from '../random.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import { SaeEncoder } from '../sae/encoder.js';
import { asJumpRelu, type ThresholdFit } from '../sae/jump-relu.js';
import { contentTokens, sinkThreshold } from '../sae/states.js';
import { Columns } from '../statistics/columns.js';
import { type EncodedTexts, encodeTexts, judgmentsOf } from './aligned-texts.js';
import type { Profile } from './alignment-profile.js';
import type { TrainingSettings } from './alignment-training.js';
import { type ChosenLatents, chooseLike, choosePaper, chooseRigorous } from './chosen-latents.js';
import type { Contrast } from './contrast.js';
import { type SiteStates, splitStates } from './linear-fit.js';
import type { MoralTargets } from './moral-targets.js';
import { columnsOf, type FittingTexts, fitLatents, type SaeFit } from './sae-fit.js';
import { FEWEST_ACTIVE } from './screening.js';

/** Tokens that thresholds are fitted on, at most. */
const THRESHOLD_TOKENS = 20_000;

/** What an alignment is made with. */
export interface SaeAlignmentSettings extends Omit<TrainingSettings, 'name' | 'signal' | 'onEpoch'> {
  level: number;
  minEffect: number;
  permutations: number;
  /** Refits on exchanged judgments: so many that choose their own latents, and so many with the remedy's. */
  shuffles: number;
  threads?: number | undefined;
}

/** How well an autoencoder gives states back, and with how many latents. */
export interface Fidelity {
  fvu: number;
  l0: number;
}

export interface AlignedSite {
  /** Without competition between latents, before alignment. */
  before: SparseAutoencoder;
  fit: SaeFit;
  shuffled: SaeFit[];
  relabelled: SaeFit[];
  conversion: { original: Fidelity; converted: Fidelity; fit: (ThresholdFit & { on: string }) | undefined };
  test: EncodedTexts;
  /** The training texts' states of `actingPooling`. */
  acting: EncodedTexts;
  /** Of all parts. */
  states: SiteStates;
}

/** What the paper and we align on: the mean over tokens, or the last token's state, which the readout comes from (docs/paper.md section 5). */
export const POOLING = { paper: 'mean', rigorous: 'last' } as const satisfies Record<Profile, string>;

/** The states closest to those that a remedy acts on, which are single tokens', among the captured ones. */
export function actingPooling({ poolings }: ActivationDirectory, profile: Profile): 'last' | 'mean' {
  return poolings.includes('last') ? 'last' : POOLING[profile];
}

/** Whose judgments a control's texts have: those of any other [paper], or of one with the same foundations [ours]. */
const EXCHANGE = { paper: 'texts', rigorous: 'within topics' } as const;

/**
 * @param site of the autoencoder; `where` names it in messages
 * @param kept so that a killed run goes on with the fits that it has
 * @throws MoralscopeError `unsupported` for an autoencoder that no intervention can be made of; `bad-data` for states that are no
 * numbers, too few texts, or where no latent is chosen; `cancelled`
 */
export async function alignSite(
  sae: SparseAutoencoder,
  activations: ActivationDirectory,
  { site, layer, where }: { site: string; layer: number; where: string },
  contrast: Contrast & { targets: MoralTargets },
  matmul: MatMul,
  settings: SaeAlignmentSettings,
  kept: KeptWork,
  { onProgress, signal }: WorkOptions,
): Promise<AlignedSite> {
  const { profile, seed, threads, shuffles } = settings;
  const { split, rows } = contrast;
  const pooling = POOLING[profile];
  const acting = actingPooling(activations, profile);
  const read = async (of: typeof pooling) => {
    const all = await activations.read(layer, of);
    requireFinite({ n: activations.rows, d: activations.hidden, data: all }, `${activations.path}, ${where}, '${of}'`);
    return splitStates(all, activations.hidden, contrast);
  };
  const states = await read(pooling);
  const targets = { train: contrast.targets.on(split.train), validation: contrast.targets.on(split.validation) };

  const fitted = new Set(Array.from(split.train, (text) => rows[text]));
  const { states: onto, on } = await thresholdStates(activations, layer, fitted, { states: states.train, on: pooling });
  const { sae: before, fit: thresholds } = await asJumpRelu(sae, onto, { threads, signal });
  const encoder = await SaeEncoder.open(before, threads, signal);
  let encoded: FittingTexts & { test: EncodedTexts; acting: EncodedTexts };
  try {
    const of = (x: Float32Array) => encodeTexts(encoder, x, x.length / states.d);
    const train = await of(states.train);
    encoded = {
      train,
      validation: await of(states.validation),
      test: await of(states.test),
      acting: acting === pooling ? train : await of((await read(acting)).train),
      states: states.train,
    };
  } finally {
    await encoder.close();
  }
  const converted = fidelity(encoded.test, states.test);
  const original = before === sae ? converted : await fidelityOf(sae, states.test, threads, signal);

  const chosen = await kept.get([site, 'chosen'], choose);
  const judged = { train: judgmentsOf(targets.train, profile), validation: judgmentsOf(targets.validation, profile) };
  const fit = await fitAs(`align ${where}`, site, chosen, judged);
  const shuffled: SaeFit[] = [];
  const relabelled: SaeFit[] = [];
  for (let i = 0; i < shuffles; i++) {
    throwIfCancelled(signal);
    onProgress?.({ task: `control fits, ${where}`, done: 2 * i, total: 2 * shuffles, unit: 'steps' });
    const from = (part: 'train' | 'validation') =>
      targets[part].exchanged(EXCHANGE[profile], new Random(seed, 'shuffled', part, i));
    const exchanged = { train: from('train'), validation: from('validation') };
    const part = SELECTED_ON[profile];
    const m = targets[part].m.map((pole) => Float32Array.from(exchanged[part], (text) => pole[text]));
    const like = chooseLike(chosen, columnsOf(encoded[part]), m, ACTIVE_ON[profile]);
    const own = {
      train: judgmentsOf(targets.train, profile, exchanged.train),
      validation: judgmentsOf(targets.validation, profile, exchanged.validation),
    };
    shuffled.push(await fitAs(undefined, `${site}/shuffled/${i}`, like, own));
    relabelled.push(await fitAs(undefined, `${site}/relabelled/${i}`, chosen, own));
  }
  if (shuffles > 0) onProgress?.({ task: `control fits, ${where}`, done: 2 * shuffles, total: 2 * shuffles, unit: 'steps' });
  return {
    before,
    fit,
    shuffled,
    relabelled,
    conversion: { original, converted, fit: thresholds && { ...thresholds, on } },
    test: encoded.test,
    acting: encoded.acting,
    states,
  };

  async function choose(): Promise<ChosenLatents> {
    const screened = (part: 'train' | 'validation') => ({ columns: columnsOf(encoded[part]), targets: targets[part] });
    if (profile === 'paper') return choosePaper(screened('validation'), where);
    const { level, minEffect, permutations } = settings;
    const onBlock = (done: number) =>
      onProgress?.({ task: `choose latents, ${where}`, done, total: permutations, unit: 'steps' });
    return chooseRigorous(screened('train'), where, matmul, { level, minEffect, permutations, seed, signal, onBlock });
  }

  async function fitAs(task: string | undefined, name: string, of: ChosenLatents, own: Parameters<typeof fitLatents>[3]) {
    const total = settings.epochs;
    const report = (done: number, more: Partial<ProgressEvent> = {}) =>
      task && onProgress?.({ task, done, total, unit: 'steps', ...more });
    const found = await fitLatents(before, of, encoded, own, matmul, { ...settings, name, signal, onEpoch: report }, kept);
    report(total, { note: `best after ${found.bestEpoch} epochs` });
    return found;
  }
}

/** Texts that a latent must be active on to be chosen: the paper asks for none, but then it has no r. */
const ACTIVE_ON = { paper: 1, rigorous: FEWEST_ACTIVE } as const;
/** The texts whose r chooses. */
const SELECTED_ON = { paper: 'validation', rigorous: 'train' } as const;

/** States that thresholds are fitted on: content tokens of the training texts where there are any stored, spread evenly; else `instead`. */
async function thresholdStates(
  activations: ActivationDirectory,
  layer: number,
  fitted: ReadonlySet<number>,
  instead: { states: Float32Array; on: string },
): Promise<{ states: Float32Array; on: string }> {
  if (!activations.poolings.includes('tokens')) return instead;
  const { hidden, details } = activations;
  const threshold = sinkThreshold(details.calibration, layer);
  const lengths = activations.tokens();
  let total = 0;
  for (const row of fitted) total += lengths[row];
  const every = Math.ceil(total / THRESHOLD_TOKENS);
  const parts: Float32Array[] = [];
  let seen = 0;
  for (let shard = 0; shard < activations.shardCount; shard++) {
    const { rows, offsets, states } = await activations.tokenStates(layer, shard);
    const content = new Set(contentTokens(states, offsets, threshold, hidden));
    const wanted: number[] = [];
    rows.forEach((row, i) => {
      if (!fitted.has(row)) return;
      for (let token = offsets[i]; token < offsets[i + 1]; token++)
        if (content.has(token) && seen++ % every === 0) wanted.push(token);
    });
    parts.push(takeRows(states, hidden, Int32Array.from(wanted)));
  }
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined.length > 0 ? { states: joined, on: 'content tokens' } : instead;
}

/** How well an autoencoder gives states x [n, d] back. */
export async function fidelityOf(
  sae: SparseAutoencoder,
  x: Float32Array,
  threads?: number,
  signal?: AbortSignal,
): Promise<Fidelity> {
  const encoder = await SaeEncoder.open(sae, threads, signal);
  try {
    return fidelity(await encodeTexts(encoder, x, x.length / sae.spec.dIn), x);
  } finally {
    await encoder.close();
  }
}

/** Fraction of the variance that is left, about the texts' mean, and active latents a text. */
function fidelity({ n, d, residual, codes }: EncodedTexts, x: Float32Array): Fidelity {
  const { deviation } = Columns.of(x, n, d);
  const left = residual.reduce((sum, value) => sum + value * value, 0);
  return { fvu: left / (n * deviation.reduce((sum, s) => sum + s * s, 0)), l0: codes.latents.length / n };
}
