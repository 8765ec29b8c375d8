import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { MoralscopeError } from '../errors.js';
import { llama } from './families/llama.js';
import type { DecoderMapping } from './mapping.js';

/** By the architecture that a checkpoint says it has. */
const families: Readonly<Record<string, (checkpoint: Checkpoint) => DecoderMapping>> = { llama };

/** @throws MoralscopeError `unsupported` for a family we do not know or a variant of one, `bad-file` for a broken configuration */
export function mapDecoder(checkpoint: Checkpoint): DecoderMapping {
  const { architecture, path } = checkpoint;
  if (!Object.hasOwn(families, architecture))
    throw new MoralscopeError(
      'unsupported',
      `${path} is a model of the family ${architecture}, which is not known.`,
      `Choose a model of one of these families: ${Object.keys(families).join(', ')}.`,
    );
  return families[architecture](checkpoint);
}
