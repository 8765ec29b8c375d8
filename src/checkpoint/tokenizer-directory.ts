import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { sha256 } from '../artifact/files.js';
import { MoralscopeError } from '../errors.js';
import { BYTE_LEVEL_SPLITS, byteLevelJson } from './byte-level-tokenizer.js';
import { impliedMerges } from './implied-merges.js';
import { readSentencePiece } from './sentencepiece-file.js';
import { sentencePieceJson } from './sentencepiece-tokenizer.js';
import type { AddedToken } from './tokenization/added-tokens.js';
import { BYTE_ALPHABET } from './tokenization/byte-alphabet.js';
import type { TokenizerJson } from './tokenization/pipeline.js';
import { template } from './tokenization/step.js';
import { makeTokenizer, type Tokenizer, type TokenizerSource } from './tokenizer.js';
import { parseJson, readTokenizerConfig, type TokenizerConfig } from './tokenizer-config.js';

/** A way to find a tokenizer in a directory, best first. */
const SOURCES: readonly { files: readonly string[]; read: (config: TokenizerConfig, ...paths: string[]) => Promise<Found> }[] = [
  { files: ['tokenizer.json'], read: fromTokenizerJson },
  { files: ['tokenizer.model'], read: fromModelFile },
  { files: ['spiece.model'], read: fromModelFile },
  { files: ['vocab.json', 'merges.txt'], read: fromVocabularyAndMerges },
];

interface Found {
  json: TokenizerJson;
  /** Of what the ids follow from. */
  sha256: string;
  /** Where the configuration names none. */
  specialTokens?: Record<string, string | undefined>;
}

/**
 * The tokenizer of a model's directory: tokenizer.json, else tokenizer.model (SentencePiece, or tiktoken as Llama 3 has it), else
 * vocab.json with merges.txt; with tokenizer_config.json and the chat template where they are there. As in transformers, where there is
 * a tokenizer.json it alone says which special tokens are added; `add_bos_token` of the configuration is not heard.
 * @throws MoralscopeError `unsupported` without any of these or for a class that numbers its tokens in a way of its own, `bad-file` when a
 * file is damaged
 */
export async function tokenizerFromDirectory(dir: string): Promise<Tokenizer> {
  const { json, details, path } = await tokenizerSourceFromDirectory(dir);
  return makeTokenizer(json, details, path);
}

/** What `tokenizerFromDirectory` makes a tokenizer of. */
export async function tokenizerSourceFromDirectory(dir: string): Promise<TokenizerSource> {
  const present = new Set(await readdir(dir));
  const source = SOURCES.find(({ files }) => files.every((file) => present.has(file)));
  const unread = [...present].find((file) => file === 'tekken.json' || file.endsWith('.tiktoken'));
  if (!source)
    throw new MoralscopeError(
      'unsupported',
      `${dir} holds no tokenizer.json${unread ? ` (${unread} is not read)` : ''}.`,
      'Write one with transformers: AutoTokenizer.from_pretrained(dir).save_pretrained(dir).',
    );
  const config = await readTokenizerConfig(dir);
  const paths = source.files.map((file) => join(dir, file));
  const { json, sha256: hash, specialTokens } = await source.read(config, ...paths);
  return {
    json,
    details: { specialTokens: { ...specialTokens, ...config.specialTokens }, chatTemplate: config.chatTemplate, sha256: hash },
    path: paths[0]!,
  };
}

const step = z.looseObject({ type: z.string() }).nullable().default(null);
const Json = z.looseObject({
  model: z.looseObject({ type: z.string().default('') }),
  normalizer: step,
  pre_tokenizer: step,
  post_processor: step,
  decoder: step,
  added_tokens: z
    .array(
      z.looseObject({
        id: z
          .number()
          .int()
          .nonnegative()
          .max(2 ** 24),
        content: z.string(),
        special: z.boolean(),
        normalized: z.boolean().optional(),
        lstrip: z.boolean().optional(),
        rstrip: z.boolean().optional(),
        single_word: z.boolean().optional(),
      }),
    )
    .default([]),
});

async function fromTokenizerJson(_: TokenizerConfig, path: string): Promise<Found> {
  const source = await readFile(path, 'utf8');
  return { json: parseJson(Json, source, path) as TokenizerJson, sha256: sha256(source) };
}

async function fromModelFile(config: TokenizerConfig, path: string): Promise<Found> {
  const bytes = await readFile(path);
  // A line of tiktoken begins with the base64 of a byte, an equals sign among it.
  const isTiktoken = /^[A-Za-z0-9+/]+={0,2} \d+\r?\n/.test(bytes.subarray(0, 256).toString('latin1'));
  try {
    return { sha256: sha256(bytes), ...(isTiktoken ? tiktoken(config, bytes.toString('latin1')) : sentencePiece(config, bytes)) };
  } catch (cause) {
    if (cause instanceof MoralscopeError) throw cause;
    throw new MoralscopeError(
      'bad-file',
      `${path} cannot be read: ${(cause as Error).message}.`,
      'It is damaged or incomplete: fetch it again.',
      { cause },
    );
  }
}

/** Classes whose ids are those of the SentencePiece file; others move them, as XLM-RoBERTa's. */
const SENTENCEPIECE_CLASSES = ['Llama', 'CodeLlama', 'Gemma', 'T5', 'InternLM2', 'Baichuan', 'Yi', 'PreTrained', 'Tokenizers'];

function sentencePiece(config: TokenizerConfig, bytes: Uint8Array): Omit<Found, 'sha256'> {
  requireClass(config, SENTENCEPIECE_CLASSES);
  const file = readSentencePiece(bytes);
  const tokens = file.pieces.map(({ piece }) => piece);
  const isT5 = config.tokenizerClass === 'T5Tokenizer';
  const inFile: AddedToken[] = file.pieces.flatMap(({ piece, kind }, id) =>
    kind === 'control' || kind === 'unknown' || kind === 'user-defined'
      ? [{ id, content: piece, special: kind !== 'user-defined', normalized: false }]
      : [],
  );
  const given = new Set(config.addedTokens.map(({ id }) => id));
  const [bos, eos, pad] = [file.bosId, file.eosId, file.padId].map((id) => (id === undefined ? undefined : tokens[id]));
  const json = sentencePieceJson({
    tokens,
    scores: tokens.map((_, id) => (file.algorithm === 'bpe' ? -id : file.pieces[id]!.score)),
    algorithm: file.algorithm,
    byteFallback: file.byteFallback,
    unknownId: file.unknownId,
    prefix: config.addPrefixSpace ?? file.addDummyPrefix,
    charsmap: file.charsmap,
    removeExtraWhitespaces: file.removeExtraWhitespaces,
    addedTokens: [...inFile.filter(({ id }) => !given.has(id)), ...config.addedTokens],
    postProcessor: template((config.addBos ?? !isT5) ? bos : undefined, (config.addEos ?? isT5) ? eos : undefined),
  });
  return { json, specialTokens: { bos_token: bos, eos_token: eos, unk_token: tokens[file.unknownId], pad_token: pad } };
}

function tiktoken(config: TokenizerConfig, source: string): Omit<Found, 'sha256'> {
  const vocab = new Map<string, number>();
  for (const line of source.split('\n')) {
    if (line.trim() === '') continue;
    const [token, rank] = line.split(' ');
    if (token === undefined || !/^\d{1,7}\s*$/.test(rank ?? '')) throw new Error(`the line ${JSON.stringify(line)} is no token`);
    const spelled = Array.from(Buffer.from(token, 'base64'), (byte) => BYTE_ALPHABET[byte]).join('');
    vocab.set(spelled, Number(rank));
  }
  const scores: number[] = [];
  for (const rank of vocab.values()) scores[rank] = -rank;
  const merges = impliedMerges(vocab, scores, true);
  const post = template((config.addBos ?? true) ? config.specialTokens.bos_token : undefined, undefined);
  return { json: byteLevelJson(vocab, merges, BYTE_LEVEL_SPLITS['llama-bpe']!, config.addedTokens, post) };
}

async function fromVocabularyAndMerges(config: TokenizerConfig, vocabPath: string, mergesPath: string): Promise<Found> {
  requireClass(config, ['GPT2', 'CodeGen', 'Qwen2', 'PreTrained', 'Tokenizers']);
  const [vocabSource, mergesSource] = await Promise.all([readFile(vocabPath, 'utf8'), readFile(mergesPath, 'utf8')]);
  const vocab = parseJson(z.record(z.string(), z.number()), vocabSource, vocabPath);
  const lines = mergesSource.split('\n').filter((line, i) => line.trim() !== '' && !(i === 0 && line.startsWith('#version')));
  const merges = lines.map((line) => {
    const pair = line.trim().split(' ');
    if (pair.length === 2) return pair as [string, string];
    throw new MoralscopeError(
      'bad-file',
      `${mergesPath}: ${JSON.stringify(line)} is no pair.`,
      'It is damaged or incomplete: fetch it again.',
    );
  });
  const split = BYTE_LEVEL_SPLITS[config.tokenizerClass === 'Qwen2Tokenizer' ? 'qwen2' : 'gpt-2']!;
  const end = '<|endoftext|>';
  const specialTokens = vocab[end] === undefined ? {} : { bos_token: end, eos_token: end, unk_token: end };
  const named = Object.values({ ...specialTokens, ...config.specialTokens });
  const known = new Set(config.addedTokens.map(({ content }) => content));
  const added = [...new Set(named)].flatMap((content) =>
    vocab[content] === undefined || known.has(content) ? [] : [{ id: vocab[content], content, special: true, normalized: false }],
  );
  return {
    json: byteLevelJson(vocab, merges, split, [...config.addedTokens, ...added], template(undefined, undefined)),
    sha256: sha256(vocabSource + mergesSource),
    specialTokens,
  };
}

function requireClass({ tokenizerClass }: TokenizerConfig, known: readonly string[]): void {
  if (
    tokenizerClass === undefined ||
    known.some((one) => tokenizerClass === `${one}Tokenizer` || tokenizerClass === `${one}Backend`)
  )
    return;
  throw new MoralscopeError(
    'unsupported',
    `Without a tokenizer.json a ${tokenizerClass} is not read.`,
    'Write one with transformers: AutoTokenizer.from_pretrained(dir).save_pretrained(dir).',
  );
}
