import { MODES } from '../alignment/remedy-schema.js';
import type { ChatMessage } from '../checkpoint/chat/chat-template.js';
import { MoralscopeError } from '../errors.js';
import type { GenerationStream } from '../model/generation/generation-stream.js';
import type { GenerateOptions } from '../model/generation/text-generator.js';
import type { Steered, SteeredModel, SteeringChoice } from './steered-model.js';

/** What the model as it is is called. */
export const UNSTEERED = 'unsteered';

/** A question with its answer. */
export interface Turn {
  question: string;
  answer: string;
  /** Who gave it: `remedy@0.6`. */
  as: string;
  /** The answer of the model as it is, where it was asked too. */
  [UNSTEERED]?: string;
}

/** Answers that are being given. */
export interface Answering {
  answer: GenerationStream;
  unsteered?: GenerationStream;
  /** To be called with what came of them, so that the conversation goes on from there. */
  keep: (answer: string, unsteered?: string) => void;
}

/** A conversation with a model, that an arm of a remedy changes at some strength. */
export class Conversation {
  readonly turns: Turn[] = [];
  system: string | undefined;
  /** What answers; undefined: the model as it is. */
  steered: Steered | undefined;
  private both = false;
  private usual: Steered | undefined;
  private messages: ChatMessage[] = [];

  /** @throws MoralscopeError `unsupported` for a model without a chat template, and as `SteeredModel.steer` */
  constructor(
    private readonly model: SteeredModel,
    choice: SteeringChoice,
    private readonly sampling: GenerateOptions & { seed: number },
  ) {
    requireTemplate(model);
    if (model.remedies.size > 0) this.steered = model.steer(choice);
    this.usual = this.steered;
  }

  /** Who answers: `shuffled-00@0.4`. */
  get label(): string {
    return this.steered ? `${this.steered.arm.name}@${this.steered.strength}` : UNSTEERED;
  }

  /**
   * Answers from now on as this arm (`none`: the model as it is), in this mode, at this strength; what is left out stays.
   * @throws MoralscopeError as `SteeredModel.steer`, and nothing is changed
   */
  change({
    arm,
    mode: asked,
    strength,
  }: {
    arm?: string | undefined;
    mode?: string | undefined;
    strength?: number | undefined;
  }): void {
    if (arm === 'none') {
      this.steered = undefined;
      return;
    }
    const mode = MODES.find((one) => one === asked);
    if (asked !== undefined && !mode)
      throw new MoralscopeError('misuse', `There is no mode ${asked}.`, `Choose ${MODES.join(', ')}.`);
    const now = this.steered ?? this.usual;
    const next = this.model.steer({
      arm: arm ?? now?.arm.name,
      mode: mode ?? (arm === undefined ? now?.mode : undefined),
      strength: strength ?? now?.strength,
    });
    this.steered = next;
    this.usual = next;
  }

  /** Whether the model as it is answers too. */
  get compare(): boolean {
    return this.both;
  }

  /** @throws MoralscopeError `misuse` where there is nothing to compare with */
  set compare(both: boolean) {
    if (both && !this.steered) this.change({});
    this.both = both;
  }

  /** Forgets what was said. */
  reset(): void {
    this.messages = [];
  }

  /**
   * Asks; the conversation goes on from the answer once `keep` is called with it.
   * @throws MoralscopeError what the chat template throws; `misuse` for a conversation longer than the model's context
   */
  async ask(question: string, signal: AbortSignal): Promise<Answering> {
    const { steered, messages, label } = this;
    const asked = [...messages, { role: 'user', content: question }];
    const answer = await this.begin(asked, steered, signal);
    const unsteered = this.both && steered ? await this.begin(asked, undefined, signal) : undefined;
    const keep = (text: string, other?: string) => {
      if (text !== '') this.messages = [...asked, { role: 'assistant', content: text }];
      this.turns.push({ question, answer: text, ...(other !== undefined && { [UNSTEERED]: other }), as: label });
    };
    return { answer, ...(unsteered && { unsteered }), keep };
  }

  private async begin(
    messages: readonly ChatMessage[],
    steered: Steered | undefined,
    signal: AbortSignal,
  ): Promise<GenerationStream> {
    const { model, system, sampling, turns } = this;
    const ids = model.encodeChat(system ? [{ role: 'system', content: system }, ...messages] : messages, steered);
    if (ids.length > model.context)
      throw new MoralscopeError(
        'misuse',
        `The conversation has ${ids.length} tokens by now; ${model.name} takes at most ${model.context}.`,
        '/reset begins anew.',
      );
    const [stream] = await model.streams([ids], steered, { ...sampling, seed: sampling.seed + turns.length, signal });
    return stream;
  }
}

function requireTemplate({ model }: SteeredModel): void {
  try {
    model.chat;
  } catch (error) {
    if (!(error instanceof MoralscopeError) || error.code !== 'unsupported') throw error;
    throw new MoralscopeError(
      'unsupported',
      error.message,
      'Use generate, which goes on with plain texts, or the instruct model.',
      {
        cause: error,
      },
    );
  }
}
