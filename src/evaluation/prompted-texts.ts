/** @file Texts with a prompt before them: a remedy that changes what is read, and no states. */
import { setImmediate as breathe } from 'node:timers/promises';
import { BATCH_ROWS, byBeginning, cutIntoBatches, padBatch, type TokenisedTexts } from '../activations/batches.js';
import type { Arm } from '../alignment/remedy-schema.js';
import { logOdds } from '../diagnosis/readout.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import type { WorkOptions } from '../progress.js';
import type { Run } from './run.js';
import type { SteeredSession } from './steered-sessions.js';

/** The tokens of a prompt, and whether texts begin with one that only the first of all may be. */
export interface PromptTokens {
  ids: Int32Array;
  /** Tokens at a text's beginning that the prompt brings itself. */
  shared: number;
}

/**
 * @throws MoralscopeError `unsupported` for a system's message, which a plain text has no place for
 */
export function promptOf({ remedy, model }: Pick<Run, 'remedy' | 'model'>, { name }: Pick<Arm, 'name'>): PromptTokens {
  const { place, text } = remedy.prompt(name)!;
  if (place !== 'prefix')
    throw new MoralscopeError(
      'unsupported',
      `${remedy.path} is a system's message, which the plain texts that are judged have no place for.`,
      'Make it with align --place prefix.',
    );
  const { tokenizer } = model;
  const ids = tokenizer.encode(text);
  return { ids, shared: ids.length > 0 && ids[0] === tokenizer.bosId ? 1 : 0 };
}

/**
 * How many tokens a text may have where every arm's prompt stands before it.
 * @param most that are read in any case
 * @throws MoralscopeError `misuse` for a prompt that leaves no room
 */
export function roomForTexts(run: Run, most: number): number {
  const { remedy, model } = run;
  const prompts = remedy.sites.length === 0 ? remedy.arms.map((arm) => promptOf(run, arm).ids.length) : [0];
  const room = model.spec.context - Math.max(...prompts);
  if (room < 3)
    throw new MoralscopeError(
      'misuse',
      `${remedy.path} has a prompt of ${Math.max(...prompts)} tokens; ${model.name} takes at most ${model.spec.context}.`,
      'Make a shorter one.',
    );
  return Math.min(most, room);
}

/** Every text with the prompt before it. */
export function prompted({ ids, offsets, truncated }: TokenisedTexts, prompt: PromptTokens): TokenisedTexts {
  const more = prompt.ids.length - prompt.shared;
  const texts = offsets.length - 1;
  const all = new Int32Array(ids.length + texts * more);
  for (let text = 0; text < texts; text++) {
    const to = offsets[text] + text * more;
    all.set(prompt.ids, to);
    all.set(ids.subarray(offsets[text] + prompt.shared, offsets[text + 1]), to + prompt.ids.length);
  }
  return { ids: all, offsets: offsets.map((offset, text) => offset + text * more), truncated };
}

/**
 * The readout (log-odds of approving words, nats) of every text as it stands in each list of tokens.
 * @param options.session with the logits of the antonyms alone, after last tokens
 * @returns one array [texts] a list
 */
export async function promptedReadout({
  session,
  tokens: lists,
  pairs,
  task,
  onProgress,
  signal,
}: WorkOptions & {
  session: SteeredSession;
  tokens: readonly TokenisedTexts[];
  pairs: readonly (readonly [number, number])[];
  task: string;
}): Promise<Float64Array[]> {
  const width = session.compiled.logitTokens!.length;
  const all: Float64Array[] = [];
  const texts = lists[0].offsets.length - 1;
  let done = 0;
  for (const tokens of lists) {
    const odds = new Float64Array(texts);
    const order = byBeginning(tokens);
    for (const batch of cutIntoBatches(tokens, order, BATCH_ROWS)) {
      await breathe();
      throwIfCancelled(signal);
      onProgress?.({ task, done, total: texts * lists.length, unit: 'texts' });
      const ofBatch = await session.runs(padBatch(tokens, batch));
      const found = logOdds((await ofBatch()).logits!, width, pairs);
      batch.forEach((text, i) => {
        odds[text] = found[i];
      });
      done += batch.length;
    }
    all.push(odds);
  }
  onProgress?.({ task, done, total: done, unit: 'texts' });
  return all;
}
