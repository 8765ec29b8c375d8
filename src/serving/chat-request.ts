import { z } from 'zod';
import type { ChatMessage } from '../checkpoint/chat/chat-template.js';
import type { GenerateOptions } from '../model/generation/text-generator.js';
import { refusal } from './api-error.js';
import { generateOptions, SamplingFields } from './request-body.js';

const TextPart = z.object({ type: z.literal('text', { error: 'only parts of type "text" are read' }), text: z.string() });
const Message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant'], { error: 'system, developer, user or assistant' }),
  content: z.union([z.string(), z.array(TextPart).min(1)], { error: 'a string, or a list of parts of type "text"' }),
});

/** Body of POST /v1/chat/completions. */
export const ChatRequest = z.object({
  ...SamplingFields,
  messages: z.array(Message).min(1),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  /** As other servers take it: variables of the template, and `enable_thinking`. */
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
});
export type ChatRequest = z.infer<typeof ChatRequest>;

/** The conversation as a chat template takes it. */
export function messagesOf({ messages }: ChatRequest): (ChatMessage & { content: string })[] {
  return messages.map(({ role, content }) => ({
    // The name that OpenAI gave the system's role later.
    role: role === 'developer' ? 'system' : role,
    content: typeof content === 'string' ? content : content.map(({ text }) => text).join('\n'),
  }));
}

/**
 * @param usual tokens of an answer, where the request does not say
 * @throws HTTPException 400
 */
export function chatOptions(request: ChatRequest, usual: number): GenerateOptions {
  const { logprobs, top_logprobs: top, max_completion_tokens: most, max_tokens: older } = request;
  if (top != null && !logprobs)
    throw refusal(400, 'top_logprobs: only with logprobs true.', { code: 'invalid_value', param: 'top_logprobs' });
  return {
    ...generateOptions(request),
    maxTokens: most ?? older ?? usual,
    ...(logprobs && { logProbs: top ?? 0 }),
  };
}
