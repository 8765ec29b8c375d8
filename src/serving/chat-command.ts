import { MoralscopeError } from '../errors.js';

/** What a line of a chat asks for: an answer, or a change of how answers are made. */
export type ChatLine =
  | { kind: 'say'; text: string }
  | { kind: 'strength'; strength: number | undefined }
  | { kind: 'arm'; arm: string | undefined }
  | { kind: 'mode'; mode: string | undefined }
  | { kind: 'system'; text: string }
  | { kind: 'compare' | 'reset' | 'help' | 'quit' };

export const CHAT_HELP = [
  '/strength 0.4   how strongly the remedy changes the model; alone: what it is now',
  '/arm NAME       the remedy itself (remedy), one of its controls (shuffled-00 ...), or none; alone: those there are',
  '/mode NAME      blend, delta, add or project, where the remedy has it',
  '/compare        on and off: the answer of the model as it is beside the changed one',
  '/system TEXT    what stands before the conversation; alone: nothing',
  '/reset          begin anew',
  '/quit           or Ctrl-D; Ctrl-C stops an answer, twice it quits',
].join('\n');

/** @throws MoralscopeError `misuse` for a command that there is none of, or a strength that is no number */
export function parseChatLine(line: string): ChatLine {
  const [, name, rest = ''] = /^\s*\/(\S*)\s*([\s\S]*?)\s*$/.exec(line) ?? [];
  if (name === undefined) return { kind: 'say', text: line };
  const given = rest === '' ? undefined : rest;
  switch (name) {
    case 'strength': {
      const strength = given === undefined ? undefined : Number(given);
      if (strength !== undefined && !Number.isFinite(strength))
        throw new MoralscopeError('misuse', `${JSON.stringify(given)} is no strength.`, 'Give a number: /strength 0.4');
      return { kind: 'strength', strength };
    }
    case 'arm':
      return { kind: 'arm', arm: given };
    case 'mode':
      return { kind: 'mode', mode: given };
    case 'system':
      return { kind: 'system', text: rest };
    case 'compare':
    case 'reset':
    case 'help':
    case 'quit':
      return { kind: name };
    case 'exit':
      return { kind: 'quit' };
    default:
      throw new MoralscopeError('misuse', `There is no /${name}.`, '/help says what there is.');
  }
}
