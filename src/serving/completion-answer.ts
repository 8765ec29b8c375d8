/** @file Answers of POST /v1/completions, whole and in pieces. */
import type { Generation, GenerationStream } from '../model/generation/generation-stream.js';
import type { LogProbs } from '../model/generation/log-probs.js';
import { type Answer, finishOf, usageOf } from './answer.js';
import { merge } from './event-stream.js';
import { completionLogProbs } from './token-log-probs.js';

/**
 * The answer once all of it is there.
 * @param echoes of each choice, the prompt's text if it is told again
 */
export function completionAnswer(answer: Answer, echoes: readonly (string | undefined)[], texts: readonly Generation[]): unknown {
  return {
    ...head(answer),
    choices: texts.map((text, index) => wholeChoice(answer, echoes[index], text, index)),
    usage: usageOf(
      answer,
      texts.map(({ tokenIds }) => tokenIds.length),
    ),
  };
}

/** The answer as it comes. The prompt's log-probabilities are known last, so that an echo with them comes in one piece. */
export async function* completionChunks(
  answer: Answer,
  echoes: readonly (string | undefined)[],
  texts: readonly GenerationStream[],
  withLogProbs: boolean,
): AsyncGenerator<unknown, void, undefined> {
  const { includeUsage, tokenizer } = answer;
  const chunk = (choices: unknown[], usage: unknown = null) => ({ ...head(answer), choices, ...(includeUsage && { usage }) });
  const tokens = texts.map(() => 0);
  if (withLogProbs && echoes.some((echo) => echo !== undefined))
    for (const [index, { result }] of texts.entries()) {
      const text = await result;
      tokens[index] = text.tokenIds.length;
      yield chunk([wholeChoice(answer, echoes[index], text, index)]);
    }
  else {
    for (const [index, text] of echoes.entries())
      if (text !== undefined) yield chunk([{ text, index, logprobs: null, finish_reason: null }]);
    const offsets = texts.map(() => 0);
    for await (const [index, { text, tokenIds, logProbs, finishReason }] of merge(texts)) {
      tokens[index] += tokenIds.length;
      const logprobs = logProbs ? completionLogProbs([{ tokenIds, logProbs }], tokenizer, offsets[index]) : null;
      offsets[index] += [...text].length;
      yield chunk([{ text, index, logprobs, finish_reason: finishReason ? finishOf({ finishReason }) : null }]);
    }
  }
  if (includeUsage) yield chunk([], usageOf(answer, tokens));
}

function head({ id, created, model, fingerprint }: Answer) {
  return { id: `cmpl-${id}`, object: 'text_completion', created, model, system_fingerprint: fingerprint };
}

function wholeChoice({ tokenizer, prompts }: Answer, echo: string | undefined, generation: Generation, index: number) {
  const { text, tokenIds, logProbs, promptIds, promptLogProbs } = generation;
  const { hidden } = prompts[0];
  const read =
    promptLogProbs && echo !== undefined
      ? [{ tokenIds: promptIds.subarray(hidden), logProbs: rowsFrom(promptLogProbs, hidden) }]
      : [];
  const logprobs = logProbs ? completionLogProbs([...read, { tokenIds, logProbs }], tokenizer) : null;
  return { text: (echo ?? '') + text, index, logprobs, finish_reason: finishOf(generation) };
}

function rowsFrom({ chosen, top, topIds, topLogProbs }: LogProbs, row: number): LogProbs {
  return {
    chosen: chosen.subarray(row),
    top,
    topIds: topIds.subarray(row * top),
    topLogProbs: topLogProbs.subarray(row * top),
  };
}
