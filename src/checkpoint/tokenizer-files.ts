/** @file A tokenizer as the files that Hugging Face's libraries read. */
import { join } from 'node:path';
import { z } from 'zod';
import type { Checkpoint } from './checkpoint.js';
import { tokenizerSourceFromGguf } from './gguf-tokenizer.js';
import type { AddedToken } from './tokenization/added-tokens.js';
import type { TokenizerJson } from './tokenization/pipeline.js';
import { innerSteps, type Step } from './tokenization/step.js';
import type { TokenizerDetails } from './tokenizer.js';
import { parseJson, readIfPresent } from './tokenizer-config.js';
import { tokenizerSourceFromDirectory } from './tokenizer-directory.js';

/**
 * tokenizer.json and tokenizer_config.json of a checkpoint, the chat template in the latter. Those that its directory has stay as they
 * are, but for a chat template that lies in a file of its own.
 * @param context longest text in tokens
 * @returns the files' content by name
 */
export async function tokenizerFiles(
  checkpoint: Pick<Checkpoint, 'format' | 'path' | 'metadata'>,
  context: number,
): Promise<Record<string, string>> {
  const inDirectory = async (name: string) =>
    checkpoint.format === 'safetensors' ? readIfPresent(join(checkpoint.path, name)) : undefined;
  const { json, details } =
    checkpoint.format === 'gguf'
      ? tokenizerSourceFromGguf(checkpoint.metadata, checkpoint.path)
      : await tokenizerSourceFromDirectory(checkpoint.path);
  const config = await inDirectory('tokenizer_config.json');
  const said =
    config === undefined
      ? tokenizerConfig(details, context)
      : parseJson(z.looseObject({}), config, join(checkpoint.path, 'tokenizer_config.json'));
  const whole = { ...said, ...(details.chatTemplate !== undefined && { chat_template: details.chatTemplate }) };
  return {
    'tokenizer.json': (await inDirectory('tokenizer.json')) ?? JSON.stringify(completeJson(json)),
    'tokenizer_config.json': `${JSON.stringify(whole, null, 2)}\n`,
  };
}

function tokenizerConfig({ specialTokens }: TokenizerDetails, context: number): Record<string, unknown> {
  const pad = specialTokens.pad_token ?? specialTokens.eos_token;
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    ...specialTokens,
    ...(pad !== undefined && { pad_token: pad }),
    model_max_length: context,
    // What is generated stands behind the padding.
    padding_side: 'left',
    clean_up_tokenization_spaces: false,
  };
}

/** The same with all that the `tokenizers` library does not do without. */
function completeJson(json: TokenizerJson): Record<string, unknown> {
  const vocabulary = vocabularyOf(json.model);
  const ids = new Map<string, number>([...vocabulary, ...json.added_tokens.map(({ content, id }) => [content, id] as const)]);
  const { vocab, ...model } = json.model;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: json.added_tokens.map(completeToken),
    normalizer: json.normalizer,
    pre_tokenizer: json.pre_tokenizer && completeByteLevel(json.pre_tokenizer, 'pretokenizers'),
    post_processor: json.post_processor && completeTemplate(json.post_processor, ids),
    decoder: json.decoder && completeByteLevel(json.decoder, 'decoders'),
    model: { ...model, vocab: vocab instanceof Map ? Object.fromEntries(vocab as Map<string, number>) : vocab },
  };
}

/** Pieces and their ids; a unigram model lists them in order. */
function vocabularyOf({ vocab }: Step): [string, number][] {
  if (vocab instanceof Map) return [...(vocab as Map<string, number>)];
  if (Array.isArray(vocab)) return vocab.map(([piece], id) => [piece as string, id]);
  return Object.entries(vocab as Record<string, number>);
}

function completeToken(token: AddedToken): Required<AddedToken> {
  const { id, content, special, normalized = !special, lstrip = false, rstrip = false, single_word = false } = token;
  return { id, content, single_word, lstrip, rstrip, normalized, special };
}

function completeByteLevel(step: Step, inner: string): Step {
  if (step.type === 'Sequence') return { ...step, [inner]: innerSteps(step, inner).map((one) => completeByteLevel(one, inner)) };
  return step.type === 'ByteLevel' ? { add_prefix_space: false, trim_offsets: true, use_regex: true, ...step } : step;
}

/** A template with the ids of its tokens, and one for pairs of texts; null where it adds nothing. */
function completeTemplate(step: Step, ids: ReadonlyMap<string, number>): Step | null {
  if (step.type !== 'TemplateProcessing') return step;
  const single = step.single as { SpecialToken?: { id: string }; Sequence?: { id: string } }[];
  const named = single.flatMap(({ SpecialToken }) => (SpecialToken ? [SpecialToken.id] : []));
  if (named.length === 0) return null;
  const second = single.map((item) => (item.Sequence ? { Sequence: { id: 'B', type_id: 0 } } : item));
  const tokens = named.map((name) => [name, { id: name, ids: [ids.get(name)!], tokens: [name] }]);
  return { ...step, pair: [...single, ...second], special_tokens: Object.fromEntries(tokens) };
}
