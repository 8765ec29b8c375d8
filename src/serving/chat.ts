import { createInterface } from 'node:readline';
import { MoralscopeError } from '../errors.js';
import type { GenerationStream } from '../model/generation/generation-stream.js';
import { CHAT_HELP, type ChatLine, parseChatLine } from './chat-command.js';
import { type Conversation, UNSTEERED } from './conversation.js';
import { besideEachOther, fitsBeside } from './side-by-side.js';

/** Where a chat takes place. */
export interface ChatPlace {
  input: NodeJS.ReadableStream;
  output: NodeJS.WriteStream;
  /** Whether somebody sits there, and sees a prompt. */
  terminal: boolean;
  /** Ends the chat. */
  signal: AbortSignal;
}

/** Talks until the input ends or /quit comes; Ctrl-C stops an answer, and twice quits. */
export async function chat(conversation: Conversation, place: ChatPlace): Promise<void> {
  const { input, output, terminal, signal } = place;
  const lines = createInterface({
    input,
    ...(terminal && { output, prompt: '> ' }),
    terminal,
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  let answering: AbortController | undefined;
  let interrupts = 0;
  const quit = () => {
    answering?.abort();
    lines.close();
  };
  lines.on('SIGINT', () => {
    if (++interrupts > 1) quit();
    else if (answering) answering.abort();
    else {
      output.write('\nCtrl-C again to quit.\n');
      lines.prompt();
    }
  });
  if (signal.aborted) quit();
  signal.addEventListener('abort', quit, { once: true });
  const say = (text: string) => output.write(`${text}\n`);
  if (terminal) say(`${conversation.label}. /help says what there is.`);
  if (terminal) lines.prompt();
  try {
    for await (const line of lines) {
      interrupts = 0;
      try {
        const asked = parseChatLine(line);
        if (asked.kind === 'quit') break;
        if (asked.kind !== 'say') say(obey(conversation, asked));
        else if (asked.text.trim() !== '') {
          answering = new AbortController();
          await answer(conversation, asked.text, answering.signal, output);
        }
      } catch (error) {
        answering?.abort();
        if (!(error instanceof MoralscopeError)) throw error;
        say(`${error.message}${error.fix ? ` ${error.fix}` : ''}`);
      }
      answering = undefined;
      if (signal.aborted) break;
      if (terminal) lines.prompt();
    }
  } finally {
    signal.removeEventListener('abort', quit);
    lines.close();
  }
}

/** Does what a command says, and tells what holds now. */
function obey(conversation: Conversation, line: Exclude<ChatLine, { kind: 'say' | 'quit' }>): string {
  switch (line.kind) {
    case 'help':
      return CHAT_HELP;
    case 'compare':
      conversation.compare = !conversation.compare;
      return conversation.compare ? 'Both answer.' : `${conversation.label} answers.`;
    case 'reset':
      conversation.reset();
      return 'Nothing was said yet.';
    case 'system':
      conversation.system = line.text === '' ? undefined : line.text;
      return conversation.system === undefined
        ? 'Nothing stands before the conversation.'
        : `Before the conversation: ${line.text}`;
    default: {
      const { kind, ...choice } = line;
      if (Object.values(choice).some((value) => value !== undefined)) conversation.change(choice);
      const told = `${conversation.label} answers${conversation.steered?.mode ? `, by ${conversation.steered.mode}` : ''}.`;
      const { remedy } = conversation.steered ?? {};
      return kind === 'arm' && remedy ? `${told} Arms: none, ${remedy.arms.map(({ name }) => name).join(', ')}.` : told;
    }
  }
}

async function answer(
  conversation: Conversation,
  question: string,
  signal: AbortSignal,
  output: NodeJS.WriteStream,
): Promise<void> {
  const { answer: stream, unsteered, keep } = await conversation.ask(question, signal);
  const width = output.columns ?? 0;
  if (unsteered && fitsBeside(width)) {
    const [changed, plain] = (await Promise.all([stream.result, unsteered.result])).map(({ text }) => text.trim());
    const heads = [conversation.label, UNSTEERED].map((head) => `${head}\n${'─'.repeat(head.length)}\n`);
    output.write(`${besideEachOther(heads[0] + changed, heads[1] + plain, width)}\n`);
    keep(changed, plain);
    return;
  }
  if (unsteered) output.write(`${conversation.label}: `);
  const changed = await show(stream, output);
  if (!unsteered) {
    keep(changed);
    return;
  }
  output.write(`${UNSTEERED}: `);
  keep(changed, await show(unsteered, output));
}

async function show(stream: GenerationStream, output: NodeJS.WriteStream): Promise<string> {
  let text = '';
  for await (const piece of stream) {
    text += piece.text;
    output.write(piece.text);
  }
  output.write('\n');
  return text;
}
