import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as LibraryTokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { sha256 } from '../artifact/files.js';
import { MoralscopeError } from '../errors.js';
import { correctDecoder, forLibrary, type TokenizerJson } from './tokenizer-json.js';

export interface Tokenizer {
  /**
   * Ids of a text, the same as transformers gives. `maxLength` cuts the text at its end; special tokens stay and count.
   * Special tokens that are spelled out in the text become their ids.
   */
  encode(text: string, options?: { addSpecialTokens?: boolean; maxLength?: number }): Int32Array;
  /** The text of ids, special tokens included. */
  decode(ids: ArrayLike<number>): string;
  /** Id of a piece as the vocabulary spells it (`Ġthe`, `▁the`, `<|im_end|>`). */
  idOf(piece: string): number | undefined;
  /** The id of a text that encodes to exactly one token, without special tokens. */
  singleTokenId(text: string): number | undefined;
  /** Ids run from 0 to one below it. */
  vocabularySize: number;
  bosId?: number;
  eosId?: number;
  padId?: number;
  /** Jinja source. */
  chatTemplate?: string;
  /** Of tokenizer.json, or of the tokenizer's part of a GGUF's metadata. */
  sha256: string;
}

/** What a tokenizer.json does not say. */
export interface TokenizerDetails {
  bos?: string | undefined;
  eos?: string | undefined;
  pad?: string | undefined;
  chatTemplate?: string | undefined;
  sha256: string;
}

/**
 * Makes a tokenizer of the content of a tokenizer.json.
 * @param path names the file in errors.
 * @throws MoralscopeError `bad-file` when the library cannot use it.
 */
export function makeTokenizer(json: TokenizerJson, details: TokenizerDetails, path: string): Tokenizer {
  let library: LibraryTokenizer;
  let around: [number[], number[]];
  try {
    library = new LibraryTokenizer(forLibrary(json), {});
    correctDecoder(library.decoder);
    around = specialTokensAround(library);
  } catch (cause) {
    throw new MoralscopeError(
      'bad-file',
      `${path} holds a tokenizer that cannot be used: ${(cause as Error).message}.`,
      'It is damaged, or of a kind that is not read.',
      { cause },
    );
  }
  const [before, after] = around;
  const body = (text: string): number[] => library.encode(text, { add_special_tokens: false }).ids;
  const idOf = (piece: string | undefined): number | undefined => (piece === undefined ? undefined : library.token_to_id(piece));
  const [bosId, eosId, padId] = [details.bos, details.eos, details.pad].map(idOf);
  return {
    encode(text, { addSpecialTokens = true, maxLength = Infinity } = {}) {
      const ids = body(text);
      if (!addSpecialTokens) return Int32Array.from(ids.length > maxLength ? ids.slice(0, maxLength) : ids);
      const room = Math.max(0, maxLength - before.length - after.length);
      return Int32Array.from([...before, ...(ids.length > room ? ids.slice(0, room) : ids), ...after]);
    },
    decode(ids) {
      return ids.length === 0 ? '' : library.decode(Array.from(ids), { clean_up_tokenization_spaces: false });
    },
    idOf,
    singleTokenId(text) {
      const ids = body(text);
      return ids.length === 1 ? ids[0] : undefined;
    },
    vocabularySize: library.model!.vocab.length,
    ...(bosId !== undefined && { bosId }),
    ...(eosId !== undefined && { eosId }),
    ...(padId !== undefined && { padId }),
    ...(details.chatTemplate !== undefined && { chatTemplate: details.chatTemplate }),
    sha256: details.sha256,
  };
}

/** The ids that the post-processor puts before and after every text. */
function specialTokensAround(library: LibraryTokenizer): [number[], number[]] {
  const text: number[] = library.encode('a', { add_special_tokens: false }).ids;
  const all: number[] = library.encode('a').ids;
  const extra = all.length - text.length;
  const start = Array.from({ length: extra + 1 }, (_, i) => i).find((i) => text.every((id, j) => all[i + j] === id));
  if (start === undefined) throw new Error('its post-processor changes the tokens of the text');
  return [all.slice(0, start), all.slice(start + text.length)];
}

const step = z.looseObject({ type: z.string() }).nullable().default(null);
const Json = z.looseObject({
  model: z.looseObject({ type: z.string().default('BPE') }),
  normalizer: step,
  pre_tokenizer: step,
  post_processor: step,
  decoder: step,
  added_tokens: z
    .array(z.looseObject({ id: z.number().int().nonnegative(), content: z.string(), special: z.boolean() }))
    .default([]),
});
const name = z
  .union([z.string(), z.looseObject({ content: z.string() })])
  .nullish()
  .transform((token) => (typeof token === 'string' ? token : token?.content));
const Config = z.looseObject({
  bos_token: name,
  eos_token: name,
  pad_token: name,
  chat_template: z.union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))]).nullish(),
});

/**
 * The tokenizer of a model's directory: tokenizer.json, with tokenizer_config.json and chat_template.jinja where they are there.
 * As in transformers, tokenizer.json alone says which special tokens are added; `add_bos_token` of the configuration is not heard.
 * @throws MoralscopeError `unsupported` without a tokenizer.json, `bad-file` when a file is damaged.
 */
export async function tokenizerFromDirectory(dir: string): Promise<Tokenizer> {
  const path = join(dir, 'tokenizer.json');
  const source = await readIfPresent(path);
  if (source === undefined)
    throw new MoralscopeError(
      'unsupported',
      `${dir} holds no tokenizer.json.`,
      'Write one with transformers: AutoTokenizer.from_pretrained(dir).save_pretrained(dir).',
    );
  const json = parse(Json, source, path) as TokenizerJson;
  const configPath = join(dir, 'tokenizer_config.json');
  const config = parse(Config, (await readIfPresent(configPath)) ?? '{}', configPath);
  const inConfig = config.chat_template;
  const named = typeof inConfig === 'string' ? inConfig : inConfig?.find((one) => one.name === 'default')?.template;
  return makeTokenizer(
    json,
    {
      bos: config.bos_token,
      eos: config.eos_token,
      pad: config.pad_token,
      chatTemplate: (await readIfPresent(join(dir, 'chat_template.jinja'))) ?? named,
      sha256: sha256(source),
    },
    path,
  );
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parse<T extends z.ZodType>(schema: T, source: string, path: string): z.infer<T> {
  const bad = (what: string, cause: unknown) =>
    new MoralscopeError('bad-file', `${path}: ${what}.`, 'It is damaged or incomplete: fetch it again.', { cause });
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (cause) {
    throw bad('is not JSON', cause);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw bad(`${issue?.path.join('.') || 'the whole'}: ${issue?.message}`, parsed.error);
}
