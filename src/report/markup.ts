/** HTML that is safe to insert as it stands; only `html` and `trusted` make it. */
export class Markup {
  constructor(readonly source: string) {}
}

/** What may stand in a hole of an `html` template; null, undefined and false leave nothing. */
export type Part = Markup | string | number | null | undefined | false | readonly Part[];

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
// Control characters and lone surrogates, which HTML forbids even as character references.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to be replaced
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff\ud800-\udfff]/gu;

/** Text as HTML that shows exactly that text, in an element or in a quoted attribute. */
export function escapeText(text: string): string {
  return text.replace(FORBIDDEN, '\ufffd').replace(/[&<>"']/g, (c) => ENTITIES[c]);
}

function source(part: Part): string {
  if (part === null || part === undefined || part === false) return '';
  if (part instanceof Markup) return part.source;
  if (typeof part === 'object') return part.map(source).join('');
  return escapeText(String(part));
}

/** A template whose holes are escaped unless they hold markup already. */
export function html(strings: TemplateStringsArray, ...parts: Part[]): Markup {
  return new Markup(strings.reduce((text, s, i) => text + source(parts[i - 1]) + s));
}

/** Takes a string as HTML unread; for what a serialiser has escaped. */
export function trusted(text: string): Markup {
  return new Markup(text);
}
