import { MoralscopeError } from '../errors.js';
import type { AddedToken } from './tokenization/added-tokens.js';
import { type TokenizerJson, TokenizerPipeline } from './tokenization/pipeline.js';

export interface EncodeOptions {
  addSpecialTokens?: boolean;
  /** Cuts the text at its end; special tokens stay and count. */
  maxLength?: number;
  /** Added tokens that are spelled out in the text are text like any other. */
  plain?: boolean;
}

export interface Tokenizer {
  /** Ids of a text, the same as transformers gives. Special tokens that are spelled out in the text become their ids. */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** The text of ids, special tokens included unless asked otherwise. */
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  /** Id of a piece as the vocabulary spells it (`Ġthe`, `▁the`, `<|im_end|>`). */
  idOf(piece: string): number | undefined;
  /** The id of a text that encodes to exactly one token, without special tokens. */
  singleTokenId(text: string): number | undefined;
  /** Ids run from 0 to one below it. */
  vocabularySize: number;
  /** Characters of the longest token, as the vocabulary spells it. */
  longestToken: number;
  bosId?: number;
  eosId?: number;
  padId?: number;
  /** Tokens that are found in a text before anything else is done to it. */
  addedTokens: readonly AddedToken[];
  /** `bos_token`, `eos_token` ... as the chat template is given them. */
  specialTokens: Readonly<Record<string, string>>;
  /** Jinja source. */
  chatTemplate?: string;
  /** Of tokenizer.json or the files that stand for it, or of the tokenizer's part of a GGUF's metadata. */
  sha256: string;
}

/** What a tokenizer.json does not say. */
export interface TokenizerDetails {
  /** `bos_token`, `eos_token`, `pad_token`, `unk_token` ... */
  specialTokens: Readonly<Record<string, string | undefined>>;
  chatTemplate?: string | undefined;
  sha256: string;
}

/** What a tokenizer is made of. */
export interface TokenizerSource {
  readonly json: TokenizerJson;
  readonly details: TokenizerDetails;
  /** Names the file in errors. */
  readonly path: string;
}

/**
 * Makes a tokenizer of the content of a tokenizer.json.
 * @param path names the file in errors.
 * @throws MoralscopeError `bad-file` when it is damaged or asks for a step that is not read.
 */
export function makeTokenizer(json: TokenizerJson, details: TokenizerDetails, path: string): Tokenizer {
  let pipeline: TokenizerPipeline;
  try {
    pipeline = new TokenizerPipeline(json);
  } catch (cause) {
    throw new MoralscopeError(
      'bad-file',
      `${path} holds a tokenizer that cannot be used: ${(cause as Error).message}.`,
      'It is damaged, or of a kind that is not read.',
      { cause },
    );
  }
  const encode = (text: string, plain = false): number[] => {
    try {
      return pipeline.encode(text, plain);
    } catch (cause) {
      const what = `The tokenizer of ${path} cannot encode a text: ${(cause as Error).message}.`;
      throw new MoralscopeError('bad-file', what, 'Use the tokenizer that the model came with.', { cause });
    }
  };
  const [before, after] = pipeline.around;
  const idOf = (piece: string | undefined) => (piece === undefined ? undefined : pipeline.idOf(piece));
  const specialTokens = Object.fromEntries(
    Object.entries(details.specialTokens).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const [bosId, eosId, padId] = ['bos', 'eos', 'pad'].map((name) => idOf(specialTokens[`${name}_token`]));
  const specialIds = new Set(json.added_tokens.filter((token) => token.special).map((token) => token.id));
  return {
    encode(text, { addSpecialTokens = true, maxLength = Infinity, plain = false } = {}) {
      const ids = encode(text, plain);
      if (!addSpecialTokens) return Int32Array.from(ids.length > maxLength ? ids.slice(0, maxLength) : ids);
      const room = Math.max(0, maxLength - before.length - after.length);
      return Int32Array.from([...before, ...(ids.length > room ? ids.slice(0, room) : ids), ...after]);
    },
    decode: (ids, { skipSpecialTokens = false } = {}) => pipeline.decode(ids, (id) => skipSpecialTokens && specialIds.has(id)),
    idOf,
    singleTokenId(text) {
      const ids = encode(text);
      return ids.length === 1 ? ids[0] : undefined;
    },
    vocabularySize: pipeline.vocabularySize,
    longestToken: pipeline.longestToken,
    ...(bosId !== undefined && { bosId }),
    ...(eosId !== undefined && { eosId }),
    ...(padId !== undefined && { padId }),
    addedTokens: json.added_tokens,
    specialTokens,
    ...(details.chatTemplate !== undefined && { chatTemplate: details.chatTemplate }),
    sha256: details.sha256,
  };
}
