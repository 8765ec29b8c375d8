import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { MoralscopeError } from '../errors.js';
import { gemma2, gemma3 } from './families/gemma.js';
import { llama, mistral, smollm3 } from './families/llama.js';
import { qwen2, qwen3 } from './families/qwen.js';
import { type Family, fromConfig, fromGguf } from './families/standard.js';
import type { DecoderMapping } from './mapping.js';

/** By the architecture that a checkpoint says it has: that of a GGUF file, or the model_type of a config.json. */
const families: Record<Checkpoint['format'], Readonly<Record<string, Family>>> = {
  gguf: { llama, smollm3, qwen2, qwen3, gemma2, gemma3 },
  safetensors: { llama, mistral, smollm3, qwen2, qwen3, gemma2, gemma3_text: gemma3 },
};

/** @throws MoralscopeError `unsupported` for a family we do not know or a variant of one, `bad-file` for a broken configuration */
export function mapDecoder(checkpoint: Checkpoint): DecoderMapping {
  const { architecture, format, path } = checkpoint;
  const known = families[format];
  if (!Object.hasOwn(known, architecture))
    throw new MoralscopeError(
      'unsupported',
      `${path} is a model of the family ${architecture}, which is not known.`,
      `Choose a model of one of these families: ${Object.keys(known).join(', ')}.`,
    );
  return format === 'gguf' ? fromGguf(checkpoint, known[architecture]) : fromConfig(checkpoint, known[architecture]);
}
