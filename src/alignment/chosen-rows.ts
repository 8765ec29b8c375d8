/** @file The rows and columns of an autoencoder that train: those of the chosen latents, and nothing else. */
import type { Latents } from '../model/intervention.js';
import { type SparseAutoencoder, sparseAutoencoder } from '../sae/architecture.js';

/** The parameters that train, or their gradient: a row for every chosen latent. */
export interface ChosenRows<A extends Float32Array | Float64Array = Float32Array> {
  /** [latents, dIn]: the columns of the encoder. */
  encoder: A;
  /** [latents] */
  bias: A;
  /** [latents, dIn] */
  decoder: A;
}

/** The parameters of some latents. */
export function rowsOf({ spec: { dIn, width }, weights }: SparseAutoencoder, latents: Int32Array): ChosenRows {
  const encoder = new Float32Array(latents.length * dIn);
  const decoder = new Float32Array(latents.length * dIn);
  latents.forEach((latent, f) => {
    for (let c = 0; c < dIn; c++) encoder[f * dIn + c] = weights.wEnc[c * width + latent];
    decoder.set(weights.wDec.subarray(latent * dIn, (latent + 1) * dIn), f * dIn);
  });
  return { encoder, bias: Float32Array.from(latents, (latent) => weights.bEnc[latent]), decoder };
}

/** The autoencoder with these parameters in the place of those of some latents; everything else is the same, bit for bit. */
export function withRows({ spec, weights }: SparseAutoencoder, latents: Int32Array, rows: ChosenRows): SparseAutoencoder {
  const { dIn, width } = spec;
  const [wEnc, bEnc, wDec] = [weights.wEnc.slice(), weights.bEnc.slice(), weights.wDec.slice()];
  latents.forEach((latent, f) => {
    for (let c = 0; c < dIn; c++) wEnc[c * width + latent] = rows.encoder[f * dIn + c];
    wDec.set(rows.decoder.subarray(f * dIn, (f + 1) * dIn), latent * dIn);
    bEnc[latent] = rows.bias[f];
  });
  return sparseAutoencoder(spec, { ...weights, wEnc, bEnc, wDec });
}

/** The thresholds of some latents; undefined where they have none. */
export function thresholdsOf({ weights: { threshold } }: SparseAutoencoder, latents: Int32Array): Float32Array | undefined {
  return threshold && Float32Array.from(latents, (latent) => threshold[latent]);
}

/** The rows as an intervention takes them. */
export function latentsOf({ encoder, bias, decoder }: ChosenRows, threshold: Float32Array | undefined): Latents {
  const f = bias.length;
  const d = encoder.length / f;
  const wEnc = new Float32Array(encoder.length);
  for (let latent = 0; latent < f; latent++) for (let c = 0; c < d; c++) wEnc[c * f + latent] = encoder[latent * d + c];
  return { wEnc, bEnc: bias, wDec: decoder, ...(threshold && { threshold }) };
}
