import { sha256 } from '../artifact/files.js';
import { MoralscopeError } from '../errors.js';
import { BYTE_LEVEL_SPLITS, byteLevelJson } from './byte-level-tokenizer.js';
import { SPACE_MARK, sentencePieceJson } from './sentencepiece-tokenizer.js';
import type { AddedToken } from './tokenization/added-tokens.js';
import { BYTE_OF, spellBytes } from './tokenization/byte-alphabet.js';
import type { TokenizerJson } from './tokenization/pipeline.js';
import { type Step, template } from './tokenization/step.js';
import { makeTokenizer, type Tokenizer, type TokenizerSource } from './tokenizer.js';

/**
 * The tokenizer that a GGUF's metadata describe: byte-level BPE (`gpt2`), SentencePiece BPE (`llama`) and unigram (`t5`). The ids are
 * those that the model was trained with; where transformers reads the same file otherwise (digits of `smollm`, NFC of `qwen2`, the
 * normalization of `t5`), it is not followed.
 * @param path names the file in errors.
 * @throws MoralscopeError `unsupported` for other kinds, `bad-file` when the metadata are damaged.
 */
export function tokenizerFromGguf(metadata: Record<string, unknown>, path: string): Tokenizer {
  const { json, details } = tokenizerSourceFromGguf(metadata, path);
  return makeTokenizer(json, details, path);
}

/** What `tokenizerFromGguf` makes a tokenizer of. */
export function tokenizerSourceFromGguf(metadata: Record<string, unknown>, path: string): TokenizerSource {
  const vocabulary = new GgufVocabulary(metadata, path);
  const json = tokenizerJson(vocabulary, String(metadata['general.architecture']));
  const chatTemplate = metadata['tokenizer.chat_template'];
  const details = {
    specialTokens: {
      bos_token: vocabulary.special('bos'),
      eos_token: vocabulary.special('eos'),
      unk_token: vocabulary.special('unknown'),
      pad_token: vocabulary.special('padding'),
    },
    chatTemplate: typeof chatTemplate === 'string' ? chatTemplate : undefined,
    sha256: hash(metadata),
  };
  return { json, details, path };
}

function tokenizerJson(vocabulary: GgufVocabulary, architecture: string): TokenizerJson {
  const model = vocabulary.text('model');
  if (model === 'gpt2') return byteLevel(vocabulary);
  if (model === 'llama') return architecture.startsWith('gemma') ? gemma(vocabulary) : sentencePiece(vocabulary);
  if (model === 't5') return unigram(vocabulary);
  throw vocabulary.unsupported(`a tokenizer of the kind ${JSON.stringify(model)} (gpt2, llama and t5 are read)`);
}

const CONTROL = 3;
const USER_DEFINED = 4;

/** The `tokenizer.ggml.*` entries, checked. */
class GgufVocabulary {
  readonly tokens: readonly string[];
  private readonly types: ArrayLike<number> | undefined;

  constructor(
    private readonly metadata: Record<string, unknown>,
    private readonly path: string,
  ) {
    const tokens = this.texts('tokens');
    if (!tokens) throw this.bad('tokens', 'is missing');
    this.tokens = tokens;
    this.types = this.numbers('token_type');
  }

  text(key: string): string | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    if (value !== undefined && typeof value !== 'string') throw this.bad(key, `is ${typeof value}, not text`);
    return value;
  }

  flag(key: string): boolean | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    if (value !== undefined && typeof value !== 'boolean') throw this.bad(key, `is ${typeof value}, not true or false`);
    return value;
  }

  texts(key: string): string[] | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw this.bad(key, 'is not an array of texts');
    return value;
  }

  /** One number a token. */
  numbers(key: string): ArrayLike<number> | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    if (value === undefined) return undefined;
    if (!(value instanceof Int32Array || value instanceof Uint32Array || value instanceof Float32Array))
      throw this.bad(key, 'is not an array of numbers');
    if (value.length !== this.tokens.length) throw this.bad(key, `has ${value.length} items for ${this.tokens.length} tokens`);
    return value;
  }

  bytes(key: string): Uint8Array | undefined {
    const value = this.metadata[`tokenizer.ggml.${key}`];
    if (value === undefined) return undefined;
    if (!(value instanceof Uint8Array || value instanceof Int8Array)) throw this.bad(key, 'is not an array of bytes');
    return new Uint8Array(value.buffer, value.byteOffset, value.length);
  }

  id(name: 'bos' | 'eos' | 'unknown' | 'padding'): number | undefined {
    const id = this.metadata[`tokenizer.ggml.${name}_token_id`];
    if (id === undefined) return undefined;
    if (typeof id !== 'number' || this.tokens[id] === undefined)
      throw this.bad(`${name}_token_id`, `is ${String(id)}, but ids run from 0 to ${this.tokens.length - 1}`);
    return id;
  }

  /** The piece whose id stands at `{name}_token_id`. */
  special(name: 'bos' | 'eos' | 'unknown' | 'padding'): string | undefined {
    const id = this.id(name);
    return id === undefined ? undefined : this.tokens[id];
  }

  /** Tokens that are found in a text before anything else is done to it. */
  addedTokens(): AddedToken[] {
    const named = new Set(['bos', 'eos', 'unknown', 'padding'].map((name) => this.special(name as 'bos')));
    const added: AddedToken[] = [];
    for (const [id, content] of this.tokens.entries()) {
      const special = this.types?.[id] === CONTROL || named.has(content);
      if (special || this.types?.[id] === USER_DEFINED) added.push({ id, content, special, normalized: false });
    }
    return added;
  }

  /** The merges of the file as pairs. */
  merges(): [string, string][] | undefined {
    return this.texts('merges')?.map((merge) => {
      const pair = merge.split(' ');
      if (pair.length !== 2) throw this.bad('merges', `holds ${JSON.stringify(merge)}, which is no pair`);
      return pair as [string, string];
    });
  }

  mergesOrScores(): { merges: [string, string][] | undefined; scores: ArrayLike<number> } {
    const [merges, scores] = [this.merges(), this.numbers('scores')];
    if (!merges && !scores) throw this.bad('scores', 'is missing');
    return { merges, scores: scores ?? [] };
  }

  postProcessor(bosByDefault: boolean, eosByDefault = false): Step {
    return template(
      (this.flag('add_bos_token') ?? bosByDefault) ? this.special('bos') : undefined,
      (this.flag('add_eos_token') ?? eosByDefault) ? this.special('eos') : undefined,
    );
  }

  bad(key: string, what: string): MoralscopeError {
    return new MoralscopeError(
      'bad-file',
      `${this.path}: tokenizer.ggml.${key} ${what}.`,
      'The file is damaged: fetch it again.',
    );
  }

  unsupported(what: string): MoralscopeError {
    return new MoralscopeError(
      'unsupported',
      `${this.path} has ${what}.`,
      'Use the directory of the model with its tokenizer.json.',
    );
  }
}

function byteLevel(vocabulary: GgufVocabulary): TokenizerJson {
  const pre = vocabulary.text('pre') ?? 'default';
  const how = Object.hasOwn(BYTE_LEVEL_SPLITS, pre) ? BYTE_LEVEL_SPLITS[pre]! : undefined;
  if (!how)
    throw vocabulary.unsupported(
      `the pre-tokenizer ${JSON.stringify(pre)} (known: ${Object.keys(BYTE_LEVEL_SPLITS).join(', ')})`,
    );
  const merges = vocabulary.merges();
  if (!merges) throw vocabulary.bad('merges', 'is missing');
  const added = vocabulary.addedTokens();
  const literal = new Set(added.map((token) => token.id));
  const spelled = (token: string, id: number) => (literal.has(id) || isByteSpelled(token) ? token : spellBytes(token));
  const vocab = new Map(vocabulary.tokens.map((token, id) => [spelled(token, id), id]));
  return byteLevelJson(vocab, merges, how, added, vocabulary.postProcessor(how.bos ?? false));
}

function isByteSpelled(token: string): boolean {
  for (const character of token) if (!BYTE_OF.has(character)) return false;
  return true;
}

function sentencePiece(vocabulary: GgufVocabulary): TokenizerJson {
  return sentencePieceJson({
    tokens: vocabulary.tokens,
    algorithm: 'bpe',
    ...vocabulary.mergesOrScores(),
    byteFallback: true,
    unknownId: undefined,
    prefix: vocabulary.flag('add_space_prefix') ?? true,
    addedTokens: vocabulary.addedTokens(),
    postProcessor: vocabulary.postProcessor(true),
  });
}

/** T5's kind. Its first hundred placeholders are the sentinels, last first. */
function unigram(vocabulary: GgufVocabulary): TokenizerJson {
  const scores = vocabulary.numbers('scores');
  if (!scores) throw vocabulary.bad('scores', 'is missing');
  const charsmap = vocabulary.bytes('precompiled_charsmap');
  const sentinels = 100;
  let placeholders = 0;
  const tokens = vocabulary.tokens.map((token) =>
    /^\[PAD\d+\]$/.test(token) && placeholders < sentinels ? `<extra_id_${sentinels - ++placeholders}>` : token,
  );
  const addedTokens = vocabulary.addedTokens().map((token) => ({ ...token, content: tokens[token.id]! }));
  return sentencePieceJson({
    tokens,
    scores,
    algorithm: 'unigram',
    byteFallback: false,
    unknownId: vocabulary.id('unknown') ?? 2,
    prefix: vocabulary.flag('add_space_prefix') ?? true,
    charsmap,
    removeExtraWhitespaces: vocabulary.flag('remove_extra_whitespaces') ?? true,
    addedTokens,
    postProcessor: vocabulary.postProcessor(false, true),
  });
}

/** No space is put in front; runs of spaces are tokens that the file spells with real spaces; merges follow the order of tokens. */
function gemma(vocabulary: GgufVocabulary): TokenizerJson {
  const respell = (token: string) => (/^ +$/.test(token) ? SPACE_MARK.repeat(token.length) : token);
  const tokens = vocabulary.tokens.map(respell);
  return {
    ...sentencePieceJson({
      tokens,
      scores: tokens.map((_, id) => -id),
      algorithm: 'bpe',
      merges: vocabulary.merges(),
      byteFallback: true,
      unknownId: vocabulary.id('unknown'),
      prefix: false,
      addedTokens: vocabulary.addedTokens().filter(({ content, id }) => content === tokens[id]),
      postProcessor: vocabulary.postProcessor(true),
    }),
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: SPACE_MARK },
    pre_tokenizer: null,
  };
}

function hash(metadata: Record<string, unknown>): string {
  const entries = Object.entries(metadata).filter(([key]) => key.startsWith('tokenizer.'));
  return sha256(
    JSON.stringify(entries, (_, value) => {
      if (typeof value === 'bigint') return String(value);
      return ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value;
    }),
  );
}
