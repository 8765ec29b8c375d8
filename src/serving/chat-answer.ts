/** @file Answers of POST /v1/chat/completions, whole and in pieces. */
import type { Generation, GenerationPiece } from '../model/generation/generation-stream.js';
import { type Answer, finishOf, usageOf } from './answer.js';
import { merge } from './event-stream.js';
import { chatLogProbs } from './token-log-probs.js';

/** The answer once all of it is there. */
export function chatAnswer(answer: Answer, texts: readonly Generation[]): unknown {
  return {
    ...head(answer, 'chat.completion'),
    choices: texts.map((text, index) => ({
      index,
      message: { role: 'assistant', content: text.text, refusal: null },
      logprobs: logProbsOf(answer, text),
      finish_reason: finishOf(text),
    })),
    usage: usageOf(
      answer,
      texts.map(({ tokenIds }) => tokenIds.length),
    ),
  };
}

/** The answer as it comes. */
export async function* chatChunks(
  answer: Answer,
  texts: readonly AsyncIterable<GenerationPiece>[],
): AsyncGenerator<unknown, void, undefined> {
  const { includeUsage } = answer;
  const chunk = (choices: unknown[], usage: unknown = null) => ({
    ...head(answer, 'chat.completion.chunk'),
    choices,
    ...(includeUsage && { usage }),
  });
  const tokens = texts.map(() => 0);
  for (const index of texts.keys())
    yield chunk([{ index, delta: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null }]);
  for await (const [index, piece] of merge(texts)) {
    tokens[index] += piece.tokenIds.length;
    const logprobs = logProbsOf(answer, piece);
    if (piece.text !== '' || (logprobs && logprobs.content.length > 0))
      yield chunk([{ index, delta: { content: piece.text }, logprobs, finish_reason: null }]);
    const { finishReason } = piece;
    if (finishReason) yield chunk([{ index, delta: {}, logprobs: null, finish_reason: finishOf({ finishReason }) }]);
  }
  if (includeUsage) yield chunk([], usageOf(answer, tokens));
}

function head({ id, created, model, fingerprint }: Answer, object: string) {
  return { id: `chatcmpl-${id}`, object, created, model, system_fingerprint: fingerprint };
}

/** Of the tokens that are the message: not of the one that ended it. */
function logProbsOf({ tokenizer, endTokens }: Answer, { tokenIds, logProbs, finishReason }: GenerationPiece | Generation) {
  if (!logProbs) return null;
  const last = tokenIds[tokenIds.length - 1];
  const ended = finishReason === 'stop' && endTokens.includes(last);
  const content = chatLogProbs(ended ? tokenIds.slice(0, -1) : tokenIds, logProbs, tokenizer);
  return { content, refusal: null };
}
