import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';

type Shape = Record<string, z.ZodType>;

/**
 * Adds a flag for every field of an options schema: the field's description is the flag's help, its default the flag's default.
 * camelCase becomes kebab-case; booleans take no value, arrays are comma-separated, or given again and again. An array whose schema has the
 * metadata `verbatim` takes one item each time, to the letter. The schema itself checks the values.
 */
export function addFlags(command: Command, schema: z.ZodObject<Shape>): Command {
  for (const [key, field] of Object.entries(schema.shape)) {
    const { inner, optional, defaultValue } = unwrap(field);
    const verbatim = field.meta()?.verbatim === true;
    const name = flagName(key);
    const option = new Option(
      inner instanceof z.ZodBoolean ? name : `${name} <${verbatim ? 'text' : placeholder(inner)}>`,
      `${field.description ?? inner.description ?? ''}${verbatim ? ' (repeatable)' : ''}`,
    );
    if (inner instanceof z.ZodEnum) option.choices(inner.options.map(String));
    else if (inner instanceof z.ZodNumber) option.argParser(parseNumber);
    else if (inner instanceof z.ZodArray)
      option.argParser<unknown>((text, before) => [
        ...(before === undefined || before === defaultValue ? [] : (before as string[])),
        ...(verbatim ? [text] : parseList(text)),
      ]);
    if (tellsSomething(defaultValue))
      option.default(defaultValue, Array.isArray(defaultValue) ? defaultValue.join(',') : undefined);
    if (!optional && defaultValue === undefined) option.makeOptionMandatory();
    command.addOption(option);
  }
  return command;
}

/** Whether a default is worth a word of help: an empty list and `false` are what leaving the flag out says anyway. */
function tellsSomething(defaultValue: unknown): boolean {
  return defaultValue !== undefined && defaultValue !== false && !(Array.isArray(defaultValue) && defaultValue.length === 0);
}

/** `--min-texts` for minTexts. */
export function flagName(field: string): string {
  return `--${field.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
}

function unwrap(field: z.ZodType): { inner: z.ZodType; optional: boolean; defaultValue?: unknown } {
  if (field instanceof z.ZodOptional) return { ...unwrap(field.unwrap() as z.ZodType), optional: true };
  if (field instanceof z.ZodDefault) return { ...unwrap(field.unwrap() as z.ZodType), defaultValue: field.def.defaultValue };
  return { inner: field, optional: false };
}

function placeholder(field: z.ZodType): string {
  if (field instanceof z.ZodNumber) return 'n';
  if (field instanceof z.ZodArray) return 'list';
  return 'value';
}

function parseList(text: string): string[] {
  const items = text.split(',').map((item) => item.trim());
  if (items.includes('')) throw new InvalidArgumentError('an item of the list is empty.');
  return items;
}

function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('not a number.');
  return value;
}
