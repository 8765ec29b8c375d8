import { basename, resolve } from 'node:path';
import { openRemedy, type Remedy, requireItsModel } from '../alignment/remedy.js';
import { REMEDY_ARM, type Arm as RemedyArm } from '../alignment/remedy-schema.js';
import type { ChatMessage, ChatOptions } from '../checkpoint/chat/chat-template.js';
import { MoralscopeError } from '../errors.js';
import type { Arms } from '../model/generation/arms.js';
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
  /** Layers of the remedies that are put to use; default: all. */
  layers?: readonly number[] | undefined;
  /** Where an id says none; default: 1. */
  strength?: number | undefined;
  precision?: Precision | undefined;
  threads?: number | undefined;
  /** Texts that are gone on with at once; default: 16. */
  sequences?: number | undefined;
}

/** Which change of the model is wanted; what is left out is as the model was opened with. */
export interface SteeringChoice {
  /** Name of a remedy; default: the first. */
  remedy?: string | undefined;
  /** Default: the remedy itself. */
  arm?: string | undefined;
  mode?: Mode | undefined;
  strength?: number | undefined;
}

/** What the model is changed by: an arm of a remedy at a strength. */
export interface Steered {
  /** What the remedy is called. */
  readonly name: string;
  readonly remedy: Remedy;
  readonly arm: RemedyArm;
  /** Undefined for a remedy of words. */
  readonly mode: Mode | undefined;
  readonly strength: number;
}

/** An id of the model with what it stands for, as `SteeredModel.arms` lists them. */
export interface ServedArm {
  id: string;
  /** Undefined for the model as it is. */
  steered?: Steered;
}

/** A thread that goes on with texts, and what the arm is called there. */
interface ReadyArm {
  generator: TextGenerator;
  arm?: string;
}

/** A prompt as the model reads it. */
export interface EncodedPrompt {
  ids: Int32Array;
  /** Tokens at its beginning that a remedy put there, and that nobody is told of. */
  hidden: number;
}

/**
 * A language model with remedies at hand: what chat, generate and serve go on with texts by. The arms of a shape share a thread, which is
 * started when one of them is asked for; the model as it is runs in the first.
 */
export class SteeredModel {
  /** By the shapes that they were compiled with. */
  private readonly generators = new Map<string, Promise<TextGenerator>>();
  /** Those by the arms that they know. */
  private readonly ready = new Map<string, Promise<ReadyArm>>();

  private constructor(
    readonly model: LanguageModel,
    /** By name. */
    readonly remedies: ReadonlyMap<string, Remedy>,
    private readonly options: SteeredModelOptions,
  ) {}

  /**
   * Opens the model, fetching it first if need be, and the remedies.
   * @throws MoralscopeError what `LanguageModel.open` and `openRemedy` throw; `misuse` for a remedy of another model (named), two of a
   * name, a mode or a layer that a remedy does not have, and a strength out of range
   */
  static async open(source: string, options: SteeredModelOptions = {}): Promise<SteeredModel> {
    const { remedies: paths = [], onProgress, signal, threads } = options;
    const remedies = await openRemedies(paths);
    const model = await LanguageModel.open(source, { onProgress, signal, threads });
    try {
      const steered = new SteeredModel(model, remedies, options);
      for (const [name, remedy] of remedies) {
        requireItsModel(remedy, model);
        const { mode } = steered.steer({ remedy: name });
        remedy.interventions({ mode, layers: options.layers });
      }
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
        const steered = this.steer({ remedy: name, arm: arm.name });
        const shown = arm.name === REMEDY_ARM ? undefined : arm.name;
        arms.push({ id: formatModelId(this.name, { remedy: name, arm: shown, strength: steered.strength }), steered });
      }
    return arms;
  }

  /**
   * What an id stands for; undefined: the model as it is.
   * @throws MoralscopeError `not-found` for an id of no remedy, and as `steer`
   */
  steered(id: string): Steered | undefined {
    const parsed = parseModelId(id, this.name);
    if (parsed === 'unsteered') return undefined;
    const remedy = parsed && this.remedies.get(parsed.remedy);
    if (remedy) {
      requireArm(remedy, parsed);
      return this.steer(parsed);
    }
    const known = [this.name, ...[...this.remedies.keys()].map((name) => `${this.name}+${name}@STRENGTH`)];
    throw new MoralscopeError('not-found', `There is no model ${JSON.stringify(id)} here.`, `Ask for ${known.join(', ')}.`);
  }

  /**
   * The arm of a remedy, and how it is put to use.
   * @throws MoralscopeError `misuse` for an arm or a mode that there is none of, and a strength out of range
   */
  steer({ remedy: name = this.firstRemedy, arm: armName = REMEDY_ARM, ...choice }: SteeringChoice = {}): Steered {
    const remedy = this.remedies.get(name);
    if (!remedy) throw new MoralscopeError('misuse', 'There is no remedy.', 'Name one with --remedy.');
    const arm = remedy.arm(armName);
    const usual = this.options.mode;
    const has = (mode: Mode | undefined) => mode !== undefined && arm.modes.includes(mode);
    // What a remedy lacks is told by it; a control may know other modes than the remedy itself.
    const asked = choice.mode ?? (arm.name === REMEDY_ARM ? usual : undefined);
    if (asked !== undefined && !has(asked)) remedy.interventions({ arm: arm.name, mode: asked });
    const mode = asked ?? (has(usual) ? usual : arm.modes[0]);
    const strength = choice.strength ?? (mode === undefined ? 1 : (this.options.strength ?? 1));
    if (mode !== undefined) requireStrength(strength, mode);
    else if (strength !== 0 && strength !== 1)
      throw new MoralscopeError('misuse', `A strength of ${strength} for a text.`, 'A prompt is there (1) or not (0).');
    return { name, remedy, arm, mode, strength };
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
        `The remedy ${steered!.name} is a system's message, which a plain text has no place for.`,
        'Give it a conversation.',
      );
    const prefix = tokenizer.encode(said.text);
    // What the tokenizer itself puts before a text stands there once.
    const opening = tokenizer.encode('')[0];
    const rest = opening !== undefined && own[0] === opening ? own.subarray(1) : own;
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
        `The remedy ${steered!.name} stands before a plain text, and a conversation has no place for it.`,
        'Give it a plain text.',
      );
    return this.model.chat.encode(said ? withSystem(messages, said.text) : messages, options);
  }

  /**
   * Starts what goes on with texts, unless it runs.
   * @returns token ids that end a text
   * @throws MoralscopeError what `LanguageModel.generator` throws
   */
  async start(steered: Steered | undefined = this.remedies.size > 0 ? this.steer() : undefined): Promise<readonly number[]> {
    return (await this.generator(steered)).generator.endTokens;
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
    const { generator, arm } = await this.generator(steered);
    return generator.begin(prompts, { ...options, ...(arm !== undefined && { arm, strength: steered!.strength }) });
  }

  async close(): Promise<void> {
    const closing = [...this.generators.values()].map((generator) =>
      generator.then(
        (opened) => opened.close(),
        () => {},
      ),
    );
    await Promise.allSettled(closing);
    try {
      await Promise.all(closing);
    } finally {
      await this.model.close();
    }
  }

  private generator(steered: Steered | undefined): Promise<ReadyArm> {
    const { positions, layers } = this.options;
    const { name, remedy, arm, mode } = steered ?? {};
    const key = mode === undefined ? '' : [name, arm!.name, mode].join(':');
    const found = this.ready.get(key);
    if (found) return found;
    const opened =
      mode === undefined ? this.unsteered() : this.armed(key, remedy!.interventions({ arm: arm!.name, mode, positions, layers }));
    this.ready.set(key, opened);
    opened.catch(() => this.ready.delete(key));
    return opened;
  }

  private async unsteered(): Promise<ReadyArm> {
    const [first] = this.generators.values();
    return { generator: await (first ?? this.open('[]')) };
  }

  private async armed(arm: string, interventions: readonly Intervention[]): Promise<ReadyArm> {
    const shapes = JSON.stringify(interventions.map(shapeOf));
    const known = this.generators.get(shapes);
    if (!known) return { generator: await this.open(shapes, { [arm]: interventions }), arm };
    const generator = await known;
    generator.addArm(arm, interventions);
    return { generator, arm };
  }

  private open(shapes: string, arms?: Arms): Promise<TextGenerator> {
    const { onProgress, signal, precision, sequences } = this.options;
    const opened = this.model.generator({
      ...{ onProgress, signal, arms },
      ...(precision && { precision }),
      ...(sequences && { sequences }),
    });
    this.generators.set(shapes, opened);
    opened.catch(() => this.generators.delete(shapes));
    return opened;
  }

  private get firstRemedy(): string {
    return this.remedies.keys().next().value ?? '';
  }

  /** What a remedy of words says. */
  private said(steered: Steered | undefined): ReturnType<Remedy['prompt']> {
    return steered && steered.strength > 0 ? steered.remedy.prompt(steered.arm.name) : undefined;
  }
}

/** An id of an arm that is not there stands for nothing. Who asks by id need not know where the remedy lies. */
function requireArm(remedy: Remedy, { remedy: name, arm }: SteeredId): void {
  try {
    if (arm !== undefined) remedy.arm(arm);
  } catch (error) {
    if (!(error instanceof MoralscopeError)) throw error;
    throw new MoralscopeError('not-found', error.message.replace(remedy.path, name), error.fix, { cause: error });
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
