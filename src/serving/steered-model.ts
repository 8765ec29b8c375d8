import { basename, resolve } from 'node:path';
import { openRemedy, type Remedy, requireItsModel } from '../alignment/remedy.js';
import { REMEDY_ARM, type Arm as RemedyArm } from '../alignment/remedy-schema.js';
import type { ChatMessage, ChatOptions } from '../checkpoint/chat/chat-template.js';
import { MoralscopeError } from '../errors.js';
import type { GenerationStream } from '../model/generation/generation-stream.js';
import type { Prompt } from '../model/generation/messages.js';
import type { GenerateOptions, TextGenerator } from '../model/generation/text-generator.js';
import { type Intervention, type Mode, type Positions, requireStrength, shapeOf } from '../model/intervention.js';
import { LanguageModel } from '../model/language-model.js';
import type { Precision } from '../model/precision.js';
import type { WorkOptions } from '../progress.js';
import { formatModelId, parseModelId, REMEDY_NAME, type SteeredId } from './model-id.js';

export interface SteeredModelOptions extends WorkOptions {
  /** Directories of remedies, or NAME=DIRECTORY. */
  remedies?: readonly string[] | undefined;
  /** How states are changed; default: each arm's usual mode. */
  mode?: Mode | undefined;
  /** Tokens that are changed; default: all. */
  positions?: Positions | undefined;
  /** Where an id says none; default: 1. */
  strength?: number | undefined;
  precision?: Precision | undefined;
  threads?: number | undefined;
  /** Texts that are gone on with at once; default: 16. */
  sequences?: number | undefined;
}

/** What the model's states are changed by: an arm of a remedy at a strength. */
export interface Steered {
  readonly remedy: Remedy;
  readonly arm: RemedyArm;
  readonly strength: number;
  readonly interventions: readonly Intervention[];
}

/** An id of the model with what it stands for, as `SteeredModel.arms` lists them. */
export interface ServedArm {
  id: string;
  /** Undefined for the model as it is. */
  steered?: Steered;
}

/** A prompt as the model reads it. */
export interface EncodedPrompt {
  ids: Int32Array;
  /** Tokens at its beginning that a remedy put there, and that nobody is told of. */
  hidden: number;
}

/**
 * A language model with remedies at hand: what chat, generate and serve go on with texts by. A thread is started for the arms of each
 * shape once one is asked for; the model as it is runs in the first.
 */
export class SteeredModel {
  /** Token ids that end a text. */
  endTokens: readonly number[] = [];
  private readonly generators = new Map<string, Promise<TextGenerator>>();

  private constructor(
    readonly model: LanguageModel,
    /** By name. */
    private readonly remedies: ReadonlyMap<string, Remedy>,
    private readonly options: SteeredModelOptions,
  ) {}

  /**
   * Opens the model, fetching it first if need be, and the remedies.
   * @throws MoralscopeError what `LanguageModel.open` and `openRemedy` throw; `misuse` for a remedy of another model (named), two of a
   * name, a mode that none has, and a strength out of range
   */
  static async open(source: string, options: SteeredModelOptions = {}): Promise<SteeredModel> {
    const { remedies: paths = [], strength, mode, ...work } = options;
    const remedies = await openRemedies(paths);
    const model = await LanguageModel.open(source, { onProgress: work.onProgress, signal: work.signal, threads: work.threads });
    try {
      for (const remedy of remedies.values()) requireItsModel(remedy, model);
      const steered = new SteeredModel(model, remedies, options);
      for (const remedy of remedies.keys()) steered.find({ remedy, arm: undefined, strength });
      const [first] = remedies.keys();
      const usual = first === undefined ? undefined : steered.find({ remedy: first, arm: undefined, strength });
      steered.endTokens = (await steered.generator(usual)).endTokens;
      return steered;
    } catch (error) {
      await model.close();
      throw error;
    }
  }

  get name(): string {
    return this.model.name;
  }

  /** Tokens of a prompt and its continuation, at most. */
  get context(): number {
    return this.model.spec.context;
  }

  /** The model as it is, then the remedies, each with its controls. */
  get arms(): ServedArm[] {
    const arms: ServedArm[] = [{ id: this.name }];
    for (const [name, remedy] of this.remedies)
      for (const arm of remedy.arms) {
        const steered = this.find({ remedy: name, arm: arm.name, strength: undefined });
        arms.push({ id: this.idOf(name, steered), steered });
      }
    return arms;
  }

  /**
   * What an id stands for; undefined: the model as it is.
   * @throws MoralscopeError `not-found` for an id of no arm, `misuse` for a strength out of range
   */
  steered(id: string): Steered | undefined {
    const parsed = parseModelId(id, this.name);
    if (parsed === 'unsteered') return undefined;
    if (parsed === undefined || !this.remedies.has(parsed.remedy)) {
      const known = [this.name, ...[...this.remedies.keys()].map((name) => `${this.name}+${name}@STRENGTH`)];
      throw new MoralscopeError('not-found', `There is no model ${JSON.stringify(id)} here.`, `Ask for ${known.join(', ')}.`);
    }
    return this.find(parsed);
  }

  /**
   * The ids of a text that is gone on with.
   * @throws MoralscopeError `misuse` for a remedy that is a system's message
   */
  encodeText(prompt: Prompt, steered: Steered | undefined): EncodedPrompt {
    const { tokenizer } = this.model;
    const own = typeof prompt === 'string' ? tokenizer.encode(prompt) : prompt;
    const said = this.said(steered);
    if (!said) return { ids: own, hidden: 0 };
    if (said.place !== 'prefix')
      throw new MoralscopeError(
        'misuse',
        `The remedy ${steered!.remedy.path} is a system's message, which a plain text has no place for.`,
        'Give it a conversation.',
      );
    const prefix = tokenizer.encode(said.text);
    const rest = own[0] === tokenizer.bosId ? own.subarray(1) : own;
    return { ids: Int32Array.of(...prefix, ...rest), hidden: prefix.length };
  }

  /**
   * The ids of a conversation, with what opens the answer.
   * @throws MoralscopeError what the chat template throws; `misuse` for a remedy that stands before a plain text
   */
  encodeChat(messages: readonly ChatMessage[], steered: Steered | undefined, options: ChatOptions = {}): Int32Array {
    const said = this.said(steered);
    if (said && said.place !== 'system')
      throw new MoralscopeError(
        'misuse',
        `The remedy ${steered!.remedy.path} stands before a plain text, and a conversation has no place for it.`,
        'Give it a plain text.',
      );
    return this.model.chat.encode(said ? withSystem(messages, said.text) : messages, options);
  }

  /**
   * Goes on with prompts, which begin together.
   * @throws MoralscopeError `misuse` for options that make no sense; what else goes wrong, the streams tell
   */
  async streams(
    prompts: readonly Int32Array[],
    steered: Steered | undefined,
    options: GenerateOptions,
  ): Promise<GenerationStream[]> {
    if (steered && steered.interventions.length > 0)
      throw new MoralscopeError('unsupported', 'Changed states are not generated from yet.', 'Ask for the model as it is.');
    const generator = await this.generator(steered);
    return generator.begin(prompts, options);
  }

  async close(): Promise<void> {
    for (const generator of this.generators.values())
      await generator.then(
        (opened) => opened.close(),
        () => {},
      );
    await this.model.close();
  }

  private idOf(remedy: string, { arm, strength }: Steered): string {
    return formatModelId(this.name, { remedy, arm: arm.name === REMEDY_ARM ? undefined : arm.name, strength });
  }

  private find({ remedy: name, arm: armName, strength: asked }: SteeredId): Steered {
    const remedy = this.remedies.get(name)!;
    const arm = remedy.arm(armName ?? REMEDY_ARM);
    const { mode: wanted, positions } = this.options;
    // A control may know other modes than the remedy itself.
    const mode = wanted !== undefined && (arm.modes.includes(wanted) || arm.name === REMEDY_ARM) ? wanted : arm.modes[0];
    const interventions = remedy.interventions({ arm: arm.name, mode, positions });
    const strength = asked ?? (mode === undefined ? 1 : (this.options.strength ?? 1));
    if (mode !== undefined) requireStrength(strength, mode);
    else if (strength !== 0 && strength !== 1)
      throw new MoralscopeError('misuse', `A strength of ${strength} for a text.`, 'A prompt is there (1) or not (0).');
    return { remedy, arm, strength, interventions };
  }

  /** What a remedy of words says. */
  private said(steered: Steered | undefined): ReturnType<Remedy['prompt']> {
    return steered && steered.strength > 0 ? steered.remedy.prompt(steered.arm.name) : undefined;
  }

  private generator(steered: Steered | undefined): Promise<TextGenerator> {
    const shapes = steered?.interventions.map(shapeOf) ?? [];
    const [first] = this.generators.values();
    if (shapes.length === 0 && first) return first;
    const key = JSON.stringify(shapes);
    const found = this.generators.get(key);
    if (found) return found;
    const { onProgress, precision, sequences } = this.options;
    const opened = this.model.generator({ onProgress, precision, sequences });
    this.generators.set(key, opened);
    opened.catch(() => this.generators.delete(key));
    return opened;
  }
}

/** Named as they are asked to be; else a single one `remedy`, several by their folders. */
async function openRemedies(paths: readonly string[]): Promise<Map<string, Remedy>> {
  const remedies = new Map<string, Remedy>();
  for (const given of paths) {
    const [, asked, path] = /^([^=/\\]+)=(.+)$/.exec(given) ?? [undefined, undefined, given];
    const name = asked ?? (paths.length === 1 ? REMEDY_ARM : basename(resolve(path)));
    if (!REMEDY_NAME.test(name))
      throw new MoralscopeError('misuse', `A remedy cannot be called ${JSON.stringify(name)}.`, 'Name it: NAME=DIRECTORY.');
    if (remedies.has(name)) throw new MoralscopeError('misuse', `Two remedies are called ${name}.`, 'Name them: NAME=DIRECTORY.');
    remedies.set(name, await openRemedy(path));
  }
  return remedies;
}

/** The conversation with this at the head of its system's message. */
function withSystem(messages: readonly ChatMessage[], text: string): ChatMessage[] {
  const [first, ...rest] = messages;
  if (first?.role !== 'system') return [{ role: 'system', content: text }, ...messages];
  const own = typeof first.content === 'string' ? first.content : first.content.map((part) => part.text ?? '').join('\n');
  return [{ ...first, content: `${text}\n\n${own}` }, ...rest];
}
