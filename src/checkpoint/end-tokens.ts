import { join } from 'node:path';
import { z } from 'zod';
import { MoralscopeError } from '../errors.js';
import type { Checkpoint } from './checkpoint.js';
import type { Tokenizer } from './tokenizer.js';
import { readIfPresent } from './tokenizer-config.js';

const Ids = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish();
const Config = z.looseObject({ eos_token_id: Ids });
/** Ends of a turn that a GGUF may leave unnamed. */
const TURN_ENDS = ['<|im_end|>', '<|eot_id|>', '<end_of_turn>', '<|return|>', '<|endofturn|>'];

/**
 * Token ids with which a model ends its text or turn, in ascending order: what config.json and generation_config.json say, or a GGUF's
 * metadata with the ends of turns that its chat template writes, and the tokenizer's own.
 * @throws MoralscopeError `bad-file` when generation_config.json is damaged
 */
export async function endTokens(checkpoint: Checkpoint, tokenizer: Tokenizer): Promise<number[]> {
  const found = checkpoint.format === 'gguf' ? ofGguf(checkpoint, tokenizer) : await ofDirectory(checkpoint);
  if (tokenizer.eosId !== undefined) found.push(tokenizer.eosId);
  return [...new Set(found)].sort((a, b) => a - b);
}

function ofGguf({ metadata }: Checkpoint, tokenizer: Tokenizer): number[] {
  const named = ['eos', 'eot', 'eom'].map((name) => metadata[`tokenizer.ggml.${name}_token_id`]);
  const written = TURN_ENDS.filter((piece) => tokenizer.chatTemplate?.includes(piece)).map((piece) => tokenizer.idOf(piece));
  return [...named, ...written].filter((id) => typeof id === 'number');
}

async function ofDirectory({ path, metadata }: Checkpoint): Promise<number[]> {
  const file = join(path, 'generation_config.json');
  let own: z.infer<typeof Config>;
  try {
    own = Config.parse(JSON.parse((await readIfPresent(file)) ?? '{}'));
  } catch (cause) {
    throw new MoralscopeError('bad-file', `${file} is damaged.`, 'Fetch the model again.', { cause });
  }
  const config = Config.safeParse(metadata).data;
  // Of a model that reads images too, the part that writes.
  const text = Config.safeParse(metadata.text_config).data;
  return [own, config, text].flatMap((some) => some?.eos_token_id ?? []);
}
