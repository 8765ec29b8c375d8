/** @file What the bodies of both endpoints have in common, and how a body is read. */
import { randomInt } from 'node:crypto';
import { z } from 'zod';
import type { GenerateOptions } from '../model/generation/text-generator.js';
import { refusal } from './api-error.js';

const MOST_CHOICES = 128;
const MOST_STOPS = 16;

/** Clients send null for what they leave open. */
export const SamplingFields = {
  model: z.string(),
  n: z.int().min(1).max(MOST_CHOICES).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
  stop: z
    .union([z.string(), z.array(z.string()).max(MOST_STOPS)], { error: `a string or at most ${MOST_STOPS} strings` })
    .nullish(),
  seed: z.int().nullish(),
  /** As other servers take it: go on where the model would end. */
  ignore_eos: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
};
export type Sampling = Pick<z.infer<z.ZodObject<typeof SamplingFields>>, keyof typeof SamplingFields>;

/**
 * The text of a body. One that says that it is too long is not read; one that says nothing is counted as it comes.
 * @param most bytes
 * @throws HTTPException 413
 */
export async function readBody({ headers, body }: Request, most: number): Promise<string> {
  const tooLarge = () =>
    refusal(413, `The body is larger than ${most} bytes.`, { code: 'body_too_large', headers: { connection: 'close' } });
  if (Number(headers.get('content-length')) > most) throw tooLarge();
  if (!body) return '';
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new TextDecoder().decode(Buffer.concat(pieces));
    bytes += value.length;
    if (bytes > most) throw tooLarge();
    pieces.push(value);
  }
}

const isEmpty = (value: unknown) =>
  value === null || value === '' || (typeof value === 'object' && Object.keys(value as object).length === 0);
const isOneOf =
  (...values: unknown[]) =>
  (value: unknown) =>
    value === null || values.includes(value);

/** Fields that would change what an answer means, and the values of them that do not. Any other field that is not known is ignored. */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  tools: isEmpty,
  functions: isEmpty,
  tool_choice: isOneOf('none', 'auto'),
  function_call: isOneOf('none', 'auto'),
  response_format: (value) => isEmpty(value) || (value as { type?: unknown }).type === 'text',
  modalities: (value) => isEmpty(value) || (Array.isArray(value) && value.every((kind) => kind === 'text')),
  audio: isEmpty,
  web_search_options: (value) => value === null,
  logit_bias: isEmpty,
  frequency_penalty: isOneOf(0),
  presence_penalty: isOneOf(0),
  suffix: isEmpty,
};

/**
 * Reads a body.
 * @throws HTTPException 400 naming the field that is wrong or not supported
 */
export function parseBody<S extends z.ZodObject>(schema: S, text: string): z.output<S> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw refusal(400, `The body is not JSON: ${(error as Error).message}.`, { code: 'invalid_json' });
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const param = paramOf(issue.path);
    const what = issue.message.replace('Invalid input: ', '');
    throw refusal(400, param === undefined ? `The body: ${what}.` : `${param}: ${what}.`, {
      code: 'invalid_value',
      ...(param !== undefined && { param }),
    });
  }
  for (const [param, isHarmless] of Object.entries(HARMLESS)) {
    const value = (body as Record<string, unknown>)[param];
    if (value !== undefined && !isHarmless(value))
      throw refusal(400, `${param} is not supported by this server. Leave it out.`, { code: 'unsupported_parameter', param });
  }
  return parsed.data;
}

/** `messages[0].content` */
function paramOf(path: readonly PropertyKey[]): string | undefined {
  if (path.length === 0) return undefined;
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i > 0 ? `.${String(key)}` : String(key))).join('');
}

/** The fields of sampling as the generator takes them. */
export function generateOptions(body: Sampling): GenerateOptions {
  const {
    temperature,
    top_p: topP,
    top_k: topK,
    min_p: minP,
    repetition_penalty: penalty,
    stop,
    seed,
    ignore_eos: ignoreEos,
  } = body;
  return {
    temperature: temperature ?? 1,
    // All tokens are also written -1, and the likeliest alone as a share of none.
    ...(topK != null && topK > 0 && { topK }),
    ...(topP != null && (topP === 0 ? { topK: 1 } : { topP })),
    ...(minP != null && { minP }),
    ...(penalty != null && { repetitionPenalty: penalty }),
    ...(stop != null && { stop: [stop].flat().filter((text) => text !== '') }),
    ...(ignoreEos != null && { ignoreEos }),
    seed: seed ?? randomInt(2 ** 31),
  };
}
