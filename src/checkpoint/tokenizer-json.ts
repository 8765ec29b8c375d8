/**
 * @file The content of a tokenizer.json, and what must be rewritten in it so that @huggingface/tokenizers 0.2 splits text as the
 * Rust library (and so transformers) does. Each rewriting keeps the meaning of the file and avoids one gap of the JavaScript library.
 */

/** One step of a pipeline: a normalizer, a pre-tokenizer, a post-processor or a decoder. */
export interface Step {
  type: string;
  [option: string]: unknown;
}

export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  normalized?: boolean;
  lstrip?: boolean;
  rstrip?: boolean;
  single_word?: boolean;
}

export interface TokenizerJson {
  model: Step;
  normalizer: Step | null;
  pre_tokenizer: Step | null;
  post_processor: Step | null;
  decoder: Step | null;
  added_tokens: AddedToken[];
}

/** How GPT-2 cuts text before its byte pairs are merged. */
export const GPT2_SPLIT = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

export const sequence = (...pretokenizers: Step[]): Step => ({ type: 'Sequence', pretokenizers });

export const split = (regex: string, behavior = 'Isolated'): Step => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior,
  invert: false,
});

/** The same tokenizer, in the words that the JavaScript library understands rightly. */
export function forLibrary(json: TokenizerJson): TokenizerJson {
  return { ...json, pre_tokenizer: json.pre_tokenizer && preTokenizerForLibrary(json.pre_tokenizer) };
}

function preTokenizerForLibrary(step: Step): Step {
  switch (step.type) {
    case 'Sequence':
      return sequence(...(step.pretokenizers as Step[]).map(preTokenizerForLibrary));
    case 'Digits':
      // The library takes [0-9] for a digit; the original takes every numeric character (other scripts', fractions, superscripts).
      return step.individual_digits ? split(String.raw`\p{N}`) : split(String.raw`\p{N}+`);
    case 'ByteLevel':
      return byteLevelForLibrary(step);
    case 'Metaspace':
      return metaspaceForLibrary(step);
    case 'Split':
      return splitForLibrary(step);
    default:
      return step;
  }
}

/** The library's own pattern takes JavaScript's \s, which counts U+FEFF as space and U+0085 as none; its Split does not. */
function byteLevelForLibrary(step: Step): Step {
  const steps: Step[] = [];
  // A Metaspace whose mark is a space puts one in front, and nothing else.
  if (step.add_prefix_space) steps.push({ type: 'Metaspace', replacement: ' ', prepend_scheme: 'always' });
  if (step.use_regex ?? true) steps.push(split(GPT2_SPLIT));
  return sequence(...steps, { ...step, add_prefix_space: false, use_regex: false });
}

/** The library never splits at the mark, and adds it in front even where an older file says `add_prefix_space: false`. */
function metaspaceForLibrary(step: Step): Step {
  const scheme = step.prepend_scheme ?? (step.add_prefix_space === false ? 'never' : 'always');
  const metaspace = { ...step, prepend_scheme: scheme };
  if (step.split === false) return metaspace;
  const mark = { String: step.replacement ?? '\u2581' };
  return sequence(metaspace, splitForLibrary({ type: 'Split', pattern: mark, behavior: 'MergedWithNext', invert: false }));
}

/** The library knows two behaviours, Isolated and Removed; the others become an Isolated one with a longer pattern. */
function splitForLibrary(step: Step): Step {
  const pattern = step.pattern as { Regex?: string; String?: string };
  const cut = `(?:${pattern.Regex ?? pattern.String!.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')})`;
  const between = String.raw`(?:(?!${cut})[\s\S])`;
  switch (step.behavior) {
    case 'MergedWithPrevious':
      return split(`${between}*${cut}|${between}+`);
    case 'MergedWithNext':
      return split(`${cut}${between}*|${between}+`);
    case 'Contiguous':
      return split(`${cut}+`);
    default:
      return step;
  }
}

/**
 * Gives a decoder of bytes the manners of the original: a byte order mark is text like any other, and of bytes that are not UTF-8
 * each becomes one U+FFFD. The library drops the mark and joins such bytes.
 */
export function correctDecoder(decoder: unknown): void {
  const { config, decoders, text_decoder } = decoder as { config?: Step; decoders?: unknown[]; text_decoder?: unknown };
  for (const part of decoders ?? []) correctDecoder(part);
  if (config?.type !== 'ByteFallback' || !text_decoder) return;
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (bytes: Uint8Array) => {
    try {
      return strict.decode(bytes);
    } catch {
      return '\ufffd'.repeat(bytes.length);
    }
  };
  Object.assign(decoder as object, { text_decoder: { decode } });
}

/** A post-processor that puts `before` in front of a text and `after` behind it. */
export function template(before: string | undefined, after: string | undefined): Step {
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const single = [
    ...(before === undefined ? [] : [special(before)]),
    { Sequence: { id: 'A', type_id: 0 } },
    ...(after === undefined ? [] : [special(after)]),
  ];
  return { type: 'TemplateProcessing', single, pair: single, special_tokens: {} };
}
