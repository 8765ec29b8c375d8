/** @file One alignment of an autoencoder's chosen latents: the remedy's own, or that of a control on exchanged judgments. */
import type { KeptWork } from '../artifact/kept-work.js';
import type { MatMul } from '../graph/matmul.js';
import type { Change } from '../model/intervention.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import { Columns } from '../statistics/columns.js';
import { SparseColumns } from '../statistics/sparse-columns.js';
import { type EncodedTexts, forLatents, type Judgments } from './aligned-texts.js';
import { AlignmentLoss, type Units } from './alignment-loss.js';
import type { Profile } from './alignment-profile.js';
import { multiplyWith, type TrainedLatents, type TrainingSettings, trainLatents } from './alignment-training.js';
import type { ChosenLatents } from './chosen-latents.js';
import { type ChosenRows, latentsOf, rowsOf, thresholdsOf } from './chosen-rows.js';
import { MoralMap } from './moral-map.js';
import { typicality } from './typical-texts.js';

/** The texts of a site that are trained on, and those that say when to stop. */
export interface FittingTexts {
  train: EncodedTexts;
  validation: EncodedTexts;
  /** States of the training texts, [n, d]. */
  states: Float32Array;
}

/** Chosen latents before and after. */
export interface SaeFit extends TrainedLatents {
  chosen: ChosenLatents;
  before: ChosenRows;
  threshold: Float32Array | undefined;
  /** How a_d is read from the latents. */
  loss: AlignmentLoss;
  units: Units;
}

/** z of every latent on the texts. */
export function columnsOf({ codes: { offsets, latents, values }, sae }: EncodedTexts): SparseColumns {
  return SparseColumns.transposed(sae.spec.width, offsets, latents, values);
}

/**
 * Trains the chosen latents on what the texts are judged (or, for a control, are taken to be).
 * @param kept holds what is trained by the name of the settings
 */
export async function fitLatents(
  sae: SparseAutoencoder,
  chosen: ChosenLatents,
  texts: FittingTexts,
  judged: { train: Judgments; validation: Judgments },
  matmul: MatMul,
  settings: TrainingSettings,
  kept?: KeptWork,
): Promise<SaeFit> {
  const { profile } = settings;
  const before = rowsOf(sae, chosen.latents);
  const threshold = thresholdsOf(sae, chosen.latents);
  const train = forLatents(texts.train, chosen.latents, judged.train);
  const validation = forLatents(texts.validation, chosen.latents, judged.validation);
  const units = unitsOf(texts, chosen.latents, profile);
  const loss = new AlignmentLoss({ map: new MoralMap(chosen.r), profile, width: sae.spec.width, threshold, units });
  await loss.fitScale(train, before, multiplyWith(matmul));
  const drawing = typicality(texts.states, train.d, judged.train, profile);
  const training = () => trainLatents(before, { train, validation, drawing }, loss, matmul, settings);
  const trained = await (kept ? kept.get([settings.name, 'trained'], training) : training());
  return { ...trained, chosen, before, threshold, loss, units };
}

/**
 * [paper] As they are. [ours] z in units of the root mean square of the chosen latents where they are active, the reconstruction in units
 * of the states' variance a channel, both of the training texts before alignment: the margins and weights of section 7 are absolute, and
 * with z of 20, as a small model's states have it, L_mono alone would decide.
 */
function unitsOf({ train, states }: FittingTexts, latents: Int32Array, profile: Profile): Units {
  if (profile === 'paper') return { z: 1, variance: 1 };
  const chosen = new Set(latents);
  let [square, active] = [0, 0];
  train.codes.values.forEach((z, e) => {
    if (!chosen.has(train.codes.latents[e])) return;
    square += z * z;
    active++;
  });
  const { deviation } = Columns.of(states, train.n, train.d);
  const variance = deviation.reduce((sum, s) => sum + s * s, 0) / train.d;
  return { z: active > 0 ? Math.sqrt(square / active) : 1, variance: variance > 0 ? variance : 1 };
}

/** What the fit adds to a state (docs/paper.md section 8, delta). */
export function deltaOf(sae: SparseAutoencoder, { before, rows, threshold }: SaeFit): Change & { mode: 'delta' } {
  return {
    mode: 'delta',
    centre: centreOf(sae),
    before: latentsOf(before, threshold),
    after: latentsOf(rows, threshold),
  };
}

/** What is subtracted from a state before the encoder. */
function centreOf({ spec, weights }: SparseAutoencoder): Float32Array {
  return spec.applyDecoderBiasToInput ? weights.bDec : new Float32Array(spec.dIn);
}

/** a_d of texts before and after, each [n, 10]. */
export async function activationsOf({ before, rows, loss }: SaeFit, texts: EncodedTexts, matmul: MatMul) {
  const multiply = multiplyWith(matmul);
  return { before: await loss.activations(texts, before, multiply), after: await loss.activations(texts, rows, multiply) };
}

/** What the fit adds to each text's state at strength 1, [n, d]. */
export async function changesOf(
  { before, rows, threshold }: SaeFit,
  { n, d, input }: Pick<EncodedTexts, 'n' | 'd' | 'input'>,
  matmul: MatMul,
): Promise<Float32Array> {
  const decoded = async ({ encoder, bias, decoder }: ChosenRows) => {
    const f = bias.length;
    const z = await matmul.product(input, encoder, { m: n, n: f, k: d, transposeB: true });
    for (let at = 0; at < z.length; at++) {
      const value = z[at] + bias[at % f];
      z[at] = value > (threshold?.[at % f] ?? 0) ? value : 0;
    }
    return matmul.product(z, decoder, { m: n, n: d, k: f });
  };
  const [from, to] = [await decoded(before), await decoded(rows)];
  return to.map((value, at) => value - from[at]);
}
