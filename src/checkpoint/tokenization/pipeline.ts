import { type AddedToken, AddedTokenFinder, type Section } from './added-tokens.js';
import { makeDecoder } from './decoder.js';
import { makeModel } from './model.js';
import { makeNormalizer } from './normalizer.js';
import { makePreTokenizer, type PreTokenizer } from './pre-tokenizer.js';
import { innerSteps, type Step } from './step.js';
import type { TokenModel } from './token-model.js';

/** The content of a tokenizer.json. */
export interface TokenizerJson {
  model: Step;
  normalizer: Step | null;
  pre_tokenizer: Step | null;
  post_processor: Step | null;
  decoder: Step | null;
  added_tokens: AddedToken[];
}

/**
 * Text to ids and back, step by step as the `tokenizers` library (and so transformers) does it: added tokens are cut out, the rest is
 * normalized, cut into pieces and given to the model; a post-processor's tokens stand around the whole. The constructor throws Error
 * for steps that are not read and for what is damaged.
 */
export class TokenizerPipeline {
  /** Ids that the post-processor puts before and after a text. */
  readonly around: readonly [before: readonly number[], after: readonly number[]];
  /** Ids run from 0 to one below it. */
  readonly vocabularySize: number;
  /** Characters of the longest token, as the vocabulary spells it. */
  readonly longestToken: number;
  private readonly model: TokenModel;
  private readonly normalize: (text: string) => string;
  private readonly preTokenize: PreTokenizer;
  private readonly decoder: ((tokens: string[]) => string[]) | undefined;
  private readonly raw: AddedTokenFinder;
  private readonly normalized: AddedTokenFinder;
  private readonly addedIds: ReadonlyMap<string, number>;
  private readonly spellings: string[] = [];

  constructor(json: TokenizerJson) {
    this.model = makeModel(json.model);
    this.normalize = makeNormalizer(json.normalizer);
    this.preTokenize = makePreTokenizer(json.pre_tokenizer);
    this.decoder = json.decoder ? makeDecoder(json.decoder) : undefined;
    for (const [token, id] of this.model.vocabulary) this.spellings[id] = token;
    const added = json.added_tokens.map((token) => {
      const normalized = token.normalized ?? !token.special;
      return { token, normalized, spelling: normalized ? this.normalize(token.content) : token.content };
    });
    for (const { token, spelling } of added) this.spellings[token.id] = spelling;
    this.raw = new AddedTokenFinder(added.filter((one) => !one.normalized));
    this.normalized = new AddedTokenFinder(added.filter((one) => one.normalized));
    this.addedIds = new Map(json.added_tokens.map(({ content, id }) => [content, id]));
    this.vocabularySize = this.spellings.length;
    this.longestToken = this.spellings.reduce((longest, { length }) => Math.max(longest, length), 0);
    this.around = this.tokensAround(json.post_processor);
  }

  /** Ids of a text, without what the post-processor adds. With `plain` added tokens are text like any other. */
  encode(text: string, plain = false): number[] {
    const ids: number[] = [];
    const whole = { text: text.replace(/\p{Surrogate}/gu, '\ufffd'), first: true };
    const sections: Section[] = plain ? [whole] : this.raw.split(whole);
    for (const section of sections) {
      if (section.id !== undefined) {
        ids.push(section.id);
        continue;
      }
      const normalized: Section = { text: this.normalize(section.text), first: section.first };
      for (const part of plain ? [normalized] : this.normalized.split(normalized)) {
        if (part.id !== undefined) ids.push(part.id);
        else
          for (const piece of this.preTokenize([part])) {
            if (piece.text !== '') for (const id of this.model.encode(piece.text)) ids.push(id);
          }
      }
    }
    return ids;
  }

  /** The text of ids; those without a token are left out. */
  decode(ids: ArrayLike<number>, leaveOut: (id: number) => boolean): string {
    const tokens: string[] = [];
    for (let i = 0; i < ids.length; i++) {
      const token = this.spellings[ids[i]!];
      if (token !== undefined && !leaveOut(ids[i]!)) tokens.push(token);
    }
    return this.decoder ? this.decoder(tokens).join('') : tokens.join(' ');
  }

  idOf(token: string): number | undefined {
    return this.addedIds.get(token) ?? this.model.vocabulary.get(token);
  }

  private tokensAround(step: Step | null): [number[], number[]] {
    switch (step?.type) {
      case undefined:
      case 'ByteLevel':
        return [[], []];
      case 'Sequence':
        return innerSteps(step!, 'processors')
          .map((one) => this.tokensAround(one))
          .reduce(
            ([before, after], [b, a]) => [
              [...b, ...before],
              [...after, ...a],
            ],
            [[], []],
          );
      case 'TemplateProcessing':
        return this.template(step!);
      case 'BertProcessing':
      case 'RobertaProcessing': {
        const id = (key: string) => [Number((step![key] as unknown[])[1])];
        return [id('cls'), id('sep')];
      }
      default:
        throw new Error(`the post-processor ${JSON.stringify(step?.type)} is not known`);
    }
  }

  private template(step: Step): [number[], number[]] {
    const single = step.single as { SpecialToken?: { id: string }; Sequence?: { id: string } }[];
    const special = (step.special_tokens ?? {}) as Record<string, { ids?: number[] }>;
    const ids = (items: typeof single) =>
      items.flatMap(({ SpecialToken }) => {
        const name = SpecialToken!.id;
        const found = Object.hasOwn(special, name) ? special[name]?.ids : undefined;
        const id = this.idOf(name);
        if (found?.every((one) => Number.isInteger(one))) return found;
        if (id === undefined) throw new Error(`the post-processor's token ${JSON.stringify(name)} is not known`);
        return [id];
      });
    const at = single.findIndex((item) => item.Sequence);
    if (at < 0) throw new Error('the post-processor leaves the text out');
    return [ids(single.slice(0, at)), ids(single.slice(at + 1))];
  }
}
