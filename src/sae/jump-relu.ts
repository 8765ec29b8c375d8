/** @file Autoencoders without competition between latents: each is active above a threshold of its own, whatever the others do. */
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { MatMul } from '../graph/matmul.js';
import type { WorkOptions } from '../progress.js';
import { type SparseAutoencoder, sparseAutoencoder } from './architecture.js';
import { SaeEncoder } from './encoder.js';
import { encoderInput } from './forward.js';

/** How the thresholds of a TopK autoencoder were found. */
export interface ThresholdFit {
  /** States they were fitted on. */
  states: number;
  /** Latents that were chosen on none of them. */
  neverChosen: number;
}

export interface JumpRelu {
  /** `relu` or `jumprelu`. */
  sae: SparseAutoencoder;
  /** Where thresholds had to be fitted. */
  fit?: ThresholdFit;
}

/** Latents whose pre-activations are in memory at a time. */
const BLOCK = 256;
/** Products round otherwise in another kernel: a latent that none chose stays out by this. */
const SLACK = 1 + 1e-5;

/**
 * The same autoencoder as ReLU or JumpReLU. ReLU, JumpReLU and gated ones give the same z as before. Of a TopK one each latent's
 * threshold lies where as many of the states are above it as chose it: halfway between the two pre-activations there. A latent that
 * none chose has the mean, over states, of the smallest active z (as BatchTopK is kept), or its own largest where that lies above.
 * @param states on which TopK thresholds are fitted, [n, dIn]
 * @throws MoralscopeError `unsupported` for one that scales states or skips past its latents; `misuse` without states where they are needed
 */
export async function asJumpRelu(
  sae: SparseAutoencoder,
  states: Float32Array,
  options: Pick<WorkOptions, 'signal'> & { threads?: number | undefined } = {},
): Promise<JumpRelu> {
  const { spec, weights } = sae;
  const { architecture, normalisation } = spec;
  if (weights.wSkip || normalisation === 'constant_norm_rescale' || normalisation === 'layer_norm')
    throw new MoralscopeError(
      'unsupported',
      `The autoencoder ${weights.wSkip ? 'skips past its latents' : `scales every state (${normalisation})`}: no change of a state by some of its latents has the form of an intervention.`,
      'Take one that does neither.',
    );
  if (architecture === 'relu' || architecture === 'jumprelu') return { sae };
  if (architecture === 'gated') return { sae: gatedAsJumpRelu(sae) };
  return withThresholds(architecture === 'topk' ? withUnitScale(sae) : sae, states, options);
}

/** A gate is open where the product is above a threshold, and so is the magnitude, which grows with it. */
function gatedAsJumpRelu({ spec, weights }: SparseAutoencoder): SparseAutoencoder {
  const { width, dIn } = spec;
  const factor = weights.rMag!.map(Math.exp);
  const wEnc = weights.wEnc.slice();
  for (let c = 0, at = 0; c < dIn; c++) for (let f = 0; f < width; f++, at++) wEnc[at] *= factor[f];
  const bEnc = weights.bMag!.slice();
  const threshold = bEnc.map((magnitude, f) => Math.max(0, magnitude - factor[f] * weights.bEnc[f]));
  const { wDec, bDec } = weights;
  return sparseAutoencoder({ ...spec, architecture: 'jumprelu' }, { wEnc, bEnc, wDec, bDec, threshold });
}

/** The norm of a latent's decoder row brought into its encoder, where latents compete after they were scaled by it. */
function withUnitScale(sae: SparseAutoencoder): SparseAutoencoder {
  const { spec, weights } = sae;
  if (!spec.rescaleByDecoderNorm) return sae;
  const { width, dIn } = spec;
  const [wEnc, wDec] = [weights.wEnc.slice(), weights.wDec.slice()];
  const norms = Float64Array.from({ length: width }, (_, f) => Math.hypot(...wDec.subarray(f * dIn, (f + 1) * dIn)));
  for (let c = 0, at = 0; c < dIn; c++) for (let f = 0; f < width; f++, at++) wEnc[at] *= norms[f];
  for (let f = 0, at = 0; f < width; f++) for (let c = 0; c < dIn; c++, at++) wDec[at] /= norms[f];
  const bEnc = weights.bEnc.map((bias, f) => bias * norms[f]);
  return sparseAutoencoder({ ...spec, rescaleByDecoderNorm: false }, { ...weights, wEnc, wDec, bEnc });
}

async function withThresholds(
  sae: SparseAutoencoder,
  states: Float32Array,
  { threads, signal }: { threads?: number | undefined; signal?: AbortSignal | undefined },
): Promise<JumpRelu> {
  const { dIn, width } = sae.spec;
  const n = states.length / dIn;
  if (n < 1) throw new MoralscopeError('misuse', 'There are no states to fit thresholds on.', 'Give some.');
  const chosen = new Int32Array(width);
  let smallest = 0;
  const encoder = await SaeEncoder.open(sae, threads, signal);
  try {
    const { offsets, latents, values } = await encoder.encode(states, n);
    for (const latent of latents) chosen[latent]++;
    let counted = 0;
    for (let i = 0; i < n; i++) {
      const of = values.subarray(offsets[i], offsets[i + 1]);
      if (of.length === 0) continue;
      smallest += of.reduce((least, z) => Math.min(least, z));
      counted++;
    }
    smallest /= Math.max(1, counted);
  } finally {
    await encoder.close();
  }
  const threshold = new Float32Array(width);
  const input = Float32Array.from(encoderInput(sae, states, n));
  const matmul = await MatMul.open(threads, signal);
  try {
    for (let from = 0; from < width; from += BLOCK) {
      throwIfCancelled(signal);
      const count = Math.min(BLOCK, width - from);
      const columns = new Float32Array(dIn * count);
      for (let c = 0; c < dIn; c++) columns.set(sae.weights.wEnc.subarray(c * width + from, c * width + from + count), c * count);
      const pre = await matmul.product(columns, input, { m: count, n, k: dIn, transposeA: true, transposeB: true });
      for (let j = 0; j < count; j++) {
        const f = from + j;
        const ascending = pre.slice(j * n, (j + 1) * n).sort();
        const below = (ascending[n - chosen[f] - 1] ?? Number.NEGATIVE_INFINITY) + sae.weights.bEnc[f];
        threshold[f] =
          chosen[f] === 0
            ? Math.max(smallest, SLACK * below)
            : Math.max(0, (Math.max(0, below) + ascending[n - chosen[f]] + sae.weights.bEnc[f]) / 2);
      }
    }
  } finally {
    await matmul.close();
  }
  const { wEnc, wDec, bEnc, bDec } = sae.weights;
  return {
    sae: sparseAutoencoder(
      { ...sae.spec, architecture: 'jumprelu', k: undefined, rescaleByDecoderNorm: undefined },
      { wEnc, wDec, bEnc, bDec, threshold },
    ),
    fit: { states: n, neverChosen: chosen.reduce((sum, count) => sum + Number(count === 0), 0) },
  };
}
