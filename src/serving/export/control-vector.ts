import { join } from 'node:path';
import { writeGgufVectors } from '../../checkpoint/gguf-writer.js';
import { MoralscopeError } from '../../errors.js';
import { addedVectors } from './added-vectors.js';
import type { ExportRequest, Write } from './export-model.js';

const FILE = 'control-vector.gguf';

/**
 * Writes llama.cpp's control vector, times the strength. It adds `direction.{L}` to the stream that leaves block L, counted from 0 as our
 * sites are, and knows of no vector for block 0. It changes every token, sinks as well.
 * @throws MoralscopeError `misuse` for what it cannot say
 */
export function controlVector({ checkpoint, mapping, interventions, strength }: ExportRequest): Write {
  const added = addedVectors(interventions, mapping.spec.layers, 'llama.cpp');
  if (added.has(0))
    throw new MoralscopeError(
      'misuse',
      'llama.cpp has no control vector for block 0, and the remedy changes what leaves it.',
      'Make a remedy for a later layer, or choose another --format.',
    );
  const scaled = (vector: Float32Array) => vector.map((value) => strength! * value);
  const vectors = Object.fromEntries([...added].map(([block, vector]) => [`direction.${block}`, scaled(vector)]));
  const metadata = {
    'general.architecture': 'controlvector',
    'controlvector.model_hint': checkpoint.architecture,
    'controlvector.layer_count': added.size,
  };
  return async (directory) => {
    await writeGgufVectors(join(directory, FILE), metadata, vectors);
    return [FILE];
  };
}
