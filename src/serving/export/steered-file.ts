import { join } from 'node:path';
import { type TorchValue, writeTorchFile } from '../../checkpoint/torch-writer.js';
import { addedVectors } from './added-vectors.js';
import { blockModule } from './block-module.js';
import type { ExportRequest, Write } from './export-model.js';

const FILE = 'steered.pt';

/**
 * Writes what lm-evaluation-harness's model `steered` takes as `steer_path`. It adds the vector to the output of a block at every token, sinks
 * as well. Of its two files only this one can say so: in its CSV a vector comes with a bias, which it refuses to add.
 * @throws MoralscopeError `misuse` for what it cannot say
 */
export function steeredFile(request: ExportRequest): Write {
  const { mapping, interventions, strength } = request;
  const hooks: Record<string, TorchValue> = {};
  for (const [block, vector] of addedVectors(interventions, mapping.spec.layers, "lm-evaluation-harness's steered model"))
    hooks[blockModule(block, request)] = {
      steering_vector: vector,
      steering_coefficient: strength!,
      action: 'add',
      bias: null,
      head_index: null,
    };
  return async (directory) => {
    await writeTorchFile(join(directory, FILE), hooks);
    return [FILE];
  };
}
