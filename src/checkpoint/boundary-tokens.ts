import { join } from 'node:path';
import { z } from 'zod';
import { MoralscopeError } from '../errors.js';
import type { Checkpoint } from './checkpoint.js';
import type { Tokenizer } from './tokenizer.js';
import { readIfPresent } from './tokenizer-config.js';

const Id = z.int().nonnegative();
const Config = z.looseObject({ bos_token_id: Id.nullish(), eos_token_id: z.union([Id, z.array(Id)]).nullish() });
type Config = z.infer<typeof Config>;
/** Ends of a turn that a GGUF may leave unnamed. */
const TURN_ENDS = ['<|im_end|>', '<|eot_id|>', '<end_of_turn>', '<|return|>', '<|endofturn|>'];

/** Token ids at the bounds of a model's texts. */
export interface BoundaryTokens {
  /** With which a text begins, where there is one. */
  begin: number | undefined;
  /** With which a text or turn ends, in ascending order. */
  ends: number[];
}

/**
 * What config.json and generation_config.json say, or a GGUF's metadata with the ends of turns that its chat template writes, and the
 * tokenizer's own.
 * @throws MoralscopeError `bad-file` when generation_config.json is damaged
 */
export async function boundaryTokens(checkpoint: Checkpoint, tokenizer: Tokenizer): Promise<BoundaryTokens> {
  const { begin, ends } = checkpoint.format === 'gguf' ? ofGguf(checkpoint, tokenizer) : await ofDirectory(checkpoint);
  const all = [...ends, ...(tokenizer.eosId === undefined ? [] : [tokenizer.eosId])];
  return { begin: tokenizer.bosId ?? begin, ends: [...new Set(all)].sort((a, b) => a - b) };
}

function ofGguf({ metadata }: Checkpoint, tokenizer: Tokenizer): BoundaryTokens {
  const named = ['eos', 'eot', 'eom'].map((name) => metadata[`tokenizer.ggml.${name}_token_id`]);
  const written = TURN_ENDS.filter((piece) => tokenizer.chatTemplate?.includes(piece)).map((piece) => tokenizer.idOf(piece));
  return { begin: undefined, ends: [...named, ...written].filter((id) => typeof id === 'number') };
}

async function ofDirectory({ path, metadata }: Checkpoint): Promise<BoundaryTokens> {
  const file = join(path, 'generation_config.json');
  let own: Config;
  try {
    own = Config.parse(JSON.parse((await readIfPresent(file)) ?? '{}'));
  } catch (cause) {
    throw new MoralscopeError('bad-file', `${file} is damaged.`, 'Fetch the model again.', { cause });
  }
  // Of a model that reads images too, the part that writes has a configuration of its own.
  const configs = [own, Config.safeParse(metadata).data, Config.safeParse(metadata.text_config).data];
  return {
    begin: configs.find((config) => typeof config?.bos_token_id === 'number')?.bos_token_id ?? undefined,
    ends: configs.flatMap((config) => config?.eos_token_id ?? []),
  };
}
