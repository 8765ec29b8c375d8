import { GENERAL_SENTENCES } from '../activations/general-text.js';
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import type { WorkOptions } from '../progress.js';
import { Random } from '../random.js';
import type { PreparedRemedy } from './align.js';
import type { AlignOptions } from './align-options.js';
import { armNames } from './remedy-controls.js';
import { type Arm, REMEDY_ARM } from './remedy-schema.js';

/** Neutral texts that stand in for the prompt. */
const NEUTRALS = 20;

/**
 * The cheapest remedy: a text before everything, as the system's message or as a prefix. Its controls are general sentences, cut to as many
 * tokens.
 */
export async function preparePrompt(options: AlignOptions & WorkOptions): Promise<PreparedRemedy> {
  const { onProgress, signal, seed, controls, place = 'system' } = options;
  const text = options.prompt!;
  if (text.trim() === '') throw new MoralscopeError('misuse', 'The prompt is empty.', 'Write --prompt "...".');
  const model = await LanguageModel.open(options.model!, { onProgress, signal });
  const { name, sha256, tokenizer, spec } = model;
  const tokens = count(tokenizer, text);
  return {
    inputs: [
      { name: 'model', sha256 },
      { name: 'tokenizer', sha256: tokenizer.sha256 },
    ],
    close: () => model.close(),
    async make() {
      const neutrals = controls
        ? Array.from({ length: NEUTRALS }, (_, i) => neutralText(tokenizer, tokens, new Random(seed, 'neutral', i)))
        : [];
      const arms: Arm[] = [
        { name: REMEDY_ARM, kind: 'remedy', modes: [], text },
        ...armNames('neutral', neutrals.length).map(
          (name, i): Arm => ({ name, kind: 'neutral', modes: [], text: neutrals[i], seed }),
        ),
      ];
      return {
        tensors: {},
        fittedTexts: [],
        content: {
          version: 1,
          kind: 'prompt',
          profile: 'rigorous',
          model: { name, sha256, tokenizer: tokenizer.sha256, hidden: spec.hidden, layers: spec.layers, precision: 'fp32' },
          template: null,
          corpus: null,
          seed,
          sites: [],
          prompt: { place, text, tokens },
          arms,
          notes: [],
          summary: `A prompt of ${tokens} tokens for ${name}, ${place === 'system' ? "as the system's message" : 'before each text'}${
            controls ? `; ${NEUTRALS} neutral texts of as many tokens beside it` : ''
          }.`,
        },
      };
    },
  };
}

function count(tokenizer: Pick<Tokenizer, 'encode'>, text: string): number {
  return tokenizer.encode(text, { addSpecialTokens: false, plain: true }).length;
}

/**
 * General sentences from a random one on, cut to as many tokens. Where no cut has that many, since tokens of a cut text may join, the
 * nearest below.
 */
function neutralText(tokenizer: Pick<Tokenizer, 'encode' | 'decode'>, tokens: number, random: Random): string {
  const sentences = random.shuffle([...GENERAL_SENTENCES]);
  let text = '';
  for (let i = 0; count(tokenizer, text) < tokens; i++) text += `${i > 0 ? ' ' : ''}${sentences[i % sentences.length]}`;
  const ids = tokenizer.encode(text, { addSpecialTokens: false, plain: true });
  for (let length = tokens; length > 0; length--) {
    const cut = tokenizer.decode(ids.subarray(0, length)).trim();
    if (count(tokenizer, cut) <= tokens) return cut;
  }
  return text;
}
