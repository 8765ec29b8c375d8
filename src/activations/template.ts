import { MoralscopeError } from '../errors.js';

/** docs/paper.md section 2: raw text, no chat template; what the model would say next is the readout. */
export const DEFAULT_TEMPLATE = '{action} is morally';
const SLOT = '{action}';

/** @throws MoralscopeError `misuse` unless `{action}` stands in the template exactly once and no space stands at its end. */
export function checkTemplate(template: string): void {
  if (template.split(SLOT).length !== 2)
    throw new MoralscopeError(
      'misuse',
      `The template ${JSON.stringify(template)} must contain ${SLOT} once.`,
      `Write for instance --template ${JSON.stringify(DEFAULT_TEMPLATE)}.`,
    );
  if (template.endsWith(' '))
    throw new MoralscopeError(
      'misuse',
      `The template ${JSON.stringify(template)} ends with a space, but the model's next word brings its own.`,
      'Drop the space.',
    );
}

/** The template with the action in it. The action is trimmed and, where more words follow it, loses its final full stop. */
export function fillTemplate(template: string, action: string): string {
  const [before, after] = template.split(SLOT);
  const trimmed = action.trim();
  return before + (after.trim() === '' ? trimmed : trimmed.replace(/(?<!\.)\.$/, '')) + after;
}
