import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import type { z } from 'zod';
import { sha256, sha256File } from '../artifact/files.js';
import type { ChatMessage } from '../checkpoint/chat/chat-template.js';
import { cancelled, MoralscopeError, throwIfCancelled } from '../errors.js';
import type { Generation } from '../model/generation/generation-stream.js';
import { parseOptions } from '../options.js';
import type { WorkOptions } from '../progress.js';
import { AnswerFile, type AnswersMadeFrom } from './answer-file.js';
import { GenerateFileOptions } from './generate-options.js';
import { type FilePrompt, readPrompts } from './prompt-file.js';
import { type Steered, SteeredModel } from './steered-model.js';
import { requireRemedyFor } from './steering-options.js';

/** One line of a file of answers. */
export interface FileAnswer {
  row: number;
  id?: string | number;
  text: string;
  finish_reason: Generation['finishReason'];
  prompt_tokens: number;
  tokens: number;
  /** With it and the same options, but alone, the text comes out again, to the last bits of its logits. */
  seed: number;
  model: string;
  /** Null for the model as it is. */
  arm: string | null;
  strength: number;
}

export interface GeneratedFile {
  out: string;
  prompts: number;
  /** Answers that this run added, and their tokens. */
  added: number;
  tokens: number;
}

/** What decides the answers besides model, remedy and prompts. */
const Decisive = GenerateFileOptions.omit({
  ...{ model: true, remedy: true, arm: true, mode: true, strength: true, prompts: true },
  ...{ out: true, threads: true, maxBatch: true },
});

/** Prompts under way for each that can be: the first to end waits for those before it. */
const AHEAD = 4;

/**
 * Answers a file of prompts. The answers are added to `out` in the order of the prompts; what is there already stays.
 * @throws MoralscopeError `misuse` for options that make no sense, or others than the file was begun with; what reading the prompts,
 * opening model and remedy, and generating throw; `cancelled`
 */
export async function generateFile(given: z.input<typeof GenerateFileOptions> & WorkOptions): Promise<GeneratedFile> {
  const { onProgress, signal, ...flags } = given;
  const options = parseOptions(GenerateFileOptions, flags);
  const { remedy, arm, mode, positions, layers, strength, precision, threads, maxBatch: sequences } = options;
  requireRemedyFor(options);
  const prompts = await readPrompts(options.prompts, { signal });
  const model = await SteeredModel.open(options.model, {
    ...{ remedies: remedy === undefined ? [] : [`remedy=${remedy}`], mode, positions, layers, strength },
    ...{ precision, threads, sequences, onProgress, signal },
  });
  try {
    const steered = remedy === undefined ? undefined : model.steer({ arm });
    const inputs = prompts.map((prompt) => encode(prompt, model, steered, options));
    const file = await AnswerFile.open(options.out, await madeFrom(options, prompts, model, steered));
    try {
      return await answerAll(file, prompts, inputs, { model, steered, options, onProgress, signal });
    } finally {
      await file.close();
    }
  } finally {
    await model.close();
  }
}

interface Run extends WorkOptions {
  model: SteeredModel;
  steered: Steered | undefined;
  options: GenerateFileOptions;
}

async function answerAll(
  file: AnswerFile,
  prompts: readonly FilePrompt[],
  inputs: readonly Int32Array[],
  { model, steered, options, onProgress, signal }: Run,
): Promise<GeneratedFile> {
  const { maxTokens, temperature, topP, topK, minP, repetitionPenalty, stop, ignoreEos, seed, maxBatch } = options;
  const sampling = { maxTokens, temperature, topP, topK, minP, repetitionPenalty, stop, ignoreEos };
  const done = file.length;
  const report = (note?: string) =>
    onProgress?.({ task: 'Generating', done: file.length, total: prompts.length, unit: 'texts', ...(note && { note }) });
  report();
  const giveUp = new AbortController();
  const under = signal ? AbortSignal.any([signal, giveUp.signal]) : giveUp.signal;
  // Each text under way listens.
  setMaxListeners(0, under);
  const underWay: Promise<Generation>[] = [];
  let begun = done;
  let tokens = 0;
  const started = performance.now();
  try {
    while (file.length < prompts.length) {
      throwIfCancelled(signal);
      for (; begun < prompts.length && underWay.length < AHEAD * maxBatch; begun++) {
        const how = { ...sampling, seed: seed + begun, signal: under };
        const [stream] = await model.streams([inputs[begun]], steered, how);
        underWay.push(stream.result);
      }
      const generation = await underWay.shift()!;
      if (generation.finishReason === 'cancelled') throw cancelled();
      const { row, id } = prompts[file.length];
      tokens += generation.tokenIds.length;
      const answer: FileAnswer = {
        row,
        ...(id !== undefined && { id }),
        text: generation.text,
        finish_reason: generation.finishReason,
        prompt_tokens: generation.promptIds.length,
        tokens: generation.tokenIds.length,
        seed: seed + row,
        model: model.name,
        arm: steered?.arm.name ?? null,
        strength: steered?.strength ?? 0,
      };
      await file.append(answer);
      report(`${Math.round(tokens / ((performance.now() - started) / 1000))} tokens/s`);
    }
  } finally {
    giveUp.abort();
    await Promise.allSettled(underWay);
  }
  return { out: file.path, prompts: prompts.length, added: file.length - done, tokens };
}

/** The ids of a prompt; who is wrong is named by row. */
function encode(
  { row, prompt }: FilePrompt,
  model: SteeredModel,
  steered: Steered | undefined,
  { chat, system }: GenerateFileOptions,
): Int32Array {
  const asChat: readonly ChatMessage[] | undefined =
    typeof prompt !== 'string' ? prompt : chat || system !== undefined ? [{ role: 'user', content: prompt }] : undefined;
  const head = system === undefined || asChat?.[0].role === 'system' ? [] : [{ role: 'system', content: system }];
  let ids: Int32Array;
  try {
    ids = asChat ? model.encodeChat([...head, ...asChat], steered) : model.encodeText(prompt as string, steered).ids;
  } catch (error) {
    if (!(error instanceof MoralscopeError)) throw error;
    throw new MoralscopeError(error.code, `Prompt ${row}: ${error.message}`, error.fix, { cause: error });
  }
  if (ids.length <= model.context) return ids;
  throw new MoralscopeError(
    'bad-data',
    `Prompt ${row} has ${ids.length} tokens; ${model.name} takes at most ${model.context}.`,
    'Shorten it.',
  );
}

async function madeFrom(
  options: GenerateFileOptions,
  prompts: readonly FilePrompt[],
  { model }: SteeredModel,
  steered: Steered | undefined,
): Promise<AnswersMadeFrom> {
  return {
    ...Decisive.parse(options),
    positions: options.positions ?? 'all',
    model: { name: model.name, sha256: model.sha256 },
    prompts: { count: prompts.length, sha256: sha256(JSON.stringify(prompts)) },
    remedy: steered
      ? {
          arm: steered.arm.name,
          mode: steered.mode,
          strength: steered.strength,
          sha256: await sha256File(join(steered.remedy.path, 'manifest.json')),
        }
      : null,
  };
}
