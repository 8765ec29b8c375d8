/** @file How an arm changes states at a site, put together from the tensors of a remedy. */
import type { Change, Latents, Mode } from '../model/intervention.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import { type Arm, REMEDY_ARM, type RemedySite } from './remedy-schema.js';
import { damaged, type RemedyTensors } from './remedy-tensors.js';

/** Where a change is looked for. */
export interface ChangeSource {
  /** Names the directory in messages. */
  path: string;
  tensors: RemedyTensors;
  hidden: number;
  site: RemedySite;
  arm: Arm;
  /** The aligned autoencoder of the site, by kind `sae`. */
  sae: SparseAutoencoder | undefined;
}

/**
 * The change of a mode that the arm has; a random direction stands in for delta and blend.
 * @throws MoralscopeError `bad-file` where a tensor is missing or has another shape
 */
export function readChange(source: ChangeSource, mode: Mode): Change {
  const { tensors, hidden, site, arm } = source;
  const own = (tensor: string, shape: readonly (number | 'f')[]) => tensors.get(arm.name, site.site, tensor, shape);
  // As long as what the remedy itself changes in that mode.
  if (arm.kind === 'random' && (mode === 'delta' || mode === 'blend'))
    return { mode: 'add', direction: own(`${mode}.direction`, [hidden]) };
  switch (mode) {
    case 'add':
      return { mode, direction: own('direction', [hidden]) };
    case 'project':
      if (!site.gate) throw damaged(source.path, `remedy.json says no gate for ${site.site}`);
      return { mode, w: own('w', [hidden]), b: own('b', [1])[0], u: own('u', [hidden]), gate: site.gate };
    case 'delta': {
      const before = readLatents(source, arm.name, 'before');
      const after = readLatents(source, arm.name, 'after');
      if (before.bEnc.length !== after.bEnc.length)
        throw damaged(source.path, `${arm.name} has ${before.bEnc.length} latents before and ${after.bEnc.length} after`);
      return { mode, centre: own('centre', [hidden]), before, after };
    }
    case 'blend':
      return blendOf(source);
  }
}

/** Latents of one side of a delta: `before.wEnc` [hidden, f], `.bEnc` [f], `.wDec` [f, hidden], and with JumpReLU `.threshold` [f]. */
function readLatents({ tensors, hidden, site }: ChangeSource, arm: string, side: 'before' | 'after'): Latents {
  const get = (tensor: string, shape: readonly (number | 'f')[]) => tensors.get(arm, site.site, `${side}.${tensor}`, shape);
  const bEnc = get('bEnc', ['f']);
  const f = bEnc.length;
  const threshold = tensors.has(arm, site.site, `${side}.threshold`) ? get('threshold', [f]) : undefined;
  return { wEnc: get('wEnc', [hidden, f]), bEnc, wDec: get('wDec', [f, hidden]), ...(threshold && { threshold }) };
}

/**
 * The whole autoencoder of an arm: the aligned one, the remedy's latents as they were before, and in their place the arm's own
 * (`latents` [f] says which they are). For the remedy itself that is the aligned one.
 */
function blendOf(source: ChangeSource): Change {
  const { path, tensors, site, arm, sae } = source;
  if (!sae) throw damaged(path, `remedy.json names no autoencoder for ${site.site}`);
  const { spec, weights } = sae;
  if (!['relu', 'jumprelu'].includes(spec.architecture) || spec.normalisation !== 'none' || weights.wSkip)
    throw damaged(path, `the autoencoder of ${site.site} is no plain ReLU or JumpReLU one (${spec.architecture})`);
  let { wEnc, bEnc, wDec, threshold } = weights;
  if (arm.name !== REMEDY_ARM) {
    [wEnc, bEnc, wDec] = [wEnc.slice(), bEnc.slice(), wDec.slice()];
    threshold = threshold?.slice();
    const put = (name: string, side: 'before' | 'after') => {
      const some = readLatents(source, name, side);
      const latents = tensors.get(name, site.site, 'latents', [some.bEnc.length]);
      latents.forEach((latent, i) => {
        if (!Number.isInteger(latent) || latent < 0 || latent >= spec.width)
          throw damaged(path, `${name} has a latent ${latent} of ${spec.width} at ${site.site}`);
        for (let c = 0; c < spec.dIn; c++) wEnc[c * spec.width + latent] = some.wEnc[c * latents.length + i];
        wDec.set(some.wDec.subarray(i * spec.dIn, (i + 1) * spec.dIn), latent * spec.dIn);
        bEnc[latent] = some.bEnc[i];
        if (threshold && some.threshold) threshold[latent] = some.threshold[i];
      });
    };
    put(REMEDY_ARM, 'before');
    if (arm.kind !== 'unaligned') put(arm.name, 'after');
  }
  return {
    mode: 'blend',
    centre: spec.applyDecoderBiasToInput ? weights.bDec : new Float32Array(spec.dIn),
    latents: { wEnc, bEnc, wDec, ...(threshold && { threshold }) },
    bias: weights.bDec,
  };
}
