import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { readTexts } from '../activations/text-file.js';
import type { ChatMessage } from '../checkpoint/chat/chat-template.js';
import { MoralscopeError } from '../errors.js';
import type { WorkOptions } from '../progress.js';

/** One prompt of a file. */
export interface FilePrompt {
  /** Its place among the file's prompts, from 0. */
  readonly row: number;
  /** As the file names it. */
  readonly id?: string | number;
  /** A plain text, or a conversation. */
  readonly prompt: string | readonly ChatMessage[];
}

const Line = z.object({
  id: z.union([z.string(), z.number()]).optional(),
  prompt: z.string().min(1).optional(),
  messages: z
    .array(z.looseObject({ role: z.string(), content: z.string() }))
    .min(1)
    .optional(),
});

/**
 * The prompts of a file: one a line; where the name ends in .jsonl, an object a line with `prompt` or `messages` and, if it likes, `id`;
 * where it ends in .parquet, a row in the column `prompt`, or the one that stands after the name (`asked.parquet:question`). Empty
 * lines are left out.
 * @throws MoralscopeError `not-found`, `bad-file` naming the line or the columns there are, `bad-data` for a file without prompts
 */
export async function readPrompts(source: string, work: WorkOptions = {}): Promise<FilePrompt[]> {
  const prompts = /\.(jsonl|ndjson)$/i.test(source)
    ? await readLines(source)
    : (await readTexts(/\.parquet$/i.test(source) ? `${source}:prompt` : source, work)).map((prompt, row) => ({ row, prompt }));
  if (prompts.length === 0) throw new MoralscopeError('bad-data', `${source} holds no prompt.`, 'Write one a line.');
  return prompts;
}

async function readLines(path: string): Promise<FilePrompt[]> {
  const prompts: FilePrompt[] = [];
  let number = 0;
  try {
    for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      if (line.trim() !== '') prompts.push(toPrompt(line.replace(/^\uFEFF/, ''), prompts.length, `${path}, line ${number}`));
    }
  } catch (cause) {
    if (cause instanceof MoralscopeError) throw cause;
    throw new MoralscopeError('not-found', `${path} cannot be read: ${(cause as Error).message}.`, 'Give a file of prompts.', {
      cause,
    });
  }
  return prompts;
}

function toPrompt(line: string, row: number, where: string): FilePrompt {
  const fix = 'Write one JSON object a line, with "prompt" (a text) or "messages" (a conversation).';
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw new MoralscopeError('bad-file', `${where} is not JSON.`, fix, { cause });
  }
  const parsed = Line.safeParse(json);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues;
    throw new MoralscopeError('bad-file', `${where}: ${[...path, message].join(': ')}.`, fix);
  }
  const { id, prompt, messages } = parsed.data;
  const given = prompt ?? messages;
  if (given === undefined || (prompt !== undefined && messages !== undefined))
    throw new MoralscopeError(
      'bad-file',
      `${where} has ${given ? 'both a prompt and messages' : 'neither prompt nor messages'}.`,
      fix,
    );
  return { row, ...(id !== undefined && { id }), prompt: given };
}
