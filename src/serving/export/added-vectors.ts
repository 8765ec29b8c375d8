import { MoralscopeError } from '../../errors.js';
import type { Intervention } from '../../model/intervention.js';
import { blockBefore } from './block-module.js';

/**
 * What interventions of strength 1 add to the stream that leaves a block, by the block's number.
 * @param program that is to add it, for messages
 * @throws MoralscopeError `misuse` for changes that are no sum with a fixed vector, or at other sites
 */
export function addedVectors(interventions: readonly Intervention[], layers: number, program: string): Map<number, Float32Array> {
  const added = new Map<number, Float32Array>();
  for (const { site, change } of interventions) {
    if (change.mode !== 'add')
      throw new MoralscopeError(
        'misuse',
        `${program} adds one vector to every state, and the remedy's ${change.mode} at ${site} depends on the state.`,
        'Choose a remedy with the mode add (caa, pca), or --format onnx or torch.',
      );
    const block = blockBefore(site, layers, program);
    const sum = added.get(block);
    added.set(block, sum ? sum.map((value, i) => value + change.direction[i]) : change.direction);
  }
  return added;
}
