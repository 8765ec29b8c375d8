import { Command, CommanderError } from 'commander';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { MoralscopeError } from '../errors.js';
import { parseOptions } from '../options.js';
import { addFlags, flagName } from './flags.js';

const schema = z.object({
  out: z.string().describe('where to'),
  layers: z.string().default('all').describe('which layers'),
  minTexts: z.int().min(2).optional().describe('fewest texts'),
  pool: z
    .array(z.enum(['last', 'mean']))
    .default(['last'])
    .describe('poolings'),
  site: z.enum(['pre', 'post']).default('post').describe('where in the block'),
  corpus: z.array(z.string()).default([]).describe('corpora'),
  features: z.array(z.coerce.number()).optional().describe('latents'),
  stop: z.array(z.string().min(1)).default([]).describe('where to end').meta({ verbatim: true }),
  offline: z.boolean().default(false).describe('no network'),
});

function parse(...args: string[]) {
  const command = addFlags(new Command('test').exitOverride().configureOutput({ writeErr: () => {} }), schema);
  command.parse(args, { from: 'user' });
  return parseOptions(schema, command.opts(), flagName);
}

describe('flags from a schema', () => {
  test('defaults are those of the schema', () => {
    expect(parse('--out', 'd')).toEqual({
      ...{ out: 'd', layers: 'all', pool: ['last'], site: 'post', corpus: [], stop: [], offline: false },
    });
  });

  test('every kind of value', () => {
    expect(
      parse('--out', 'd', '--layers', '3,7-12', '--min-texts', '40', '--pool', 'mean, last', '--site', 'pre', '--offline'),
    ).toEqual({
      out: 'd',
      layers: '3,7-12',
      minTexts: 40,
      pool: ['mean', 'last'],
      site: 'pre',
      corpus: [],
      stop: [],
      offline: true,
    });
  });

  test('a list may be given in parts, and the default is no part of it', () => {
    expect(parse('--out', 'd', '--corpus', 'a,b', '--corpus', 'c', '--pool', 'mean')).toMatchObject({
      corpus: ['a', 'b', 'c'],
      pool: ['mean'],
    });
  });

  test.each(['\n\n', 'Yes, ', '. ', ',', ' '])('what is verbatim comes through to the letter: %j', (text) => {
    expect(parse('--out', 'd', '--stop', text, '--stop', 'b')).toMatchObject({ stop: [text, 'b'] });
  });

  test.each([
    ['a mandatory flag left out', [], /--out/],
    ['a choice that is none', ['--out', 'd', '--site', 'mid'], /pre, post/],
    ['a number that is none', ['--out', 'd', '--min-texts', 'many'], /not a number/],
    ['an empty number', ['--out', 'd', '--min-texts', ' '], /not a number/],
    ['a list that ends in a comma', ['--out', 'd', '--features', '12,'], /--features.*item of the list is empty/],
    ['an empty list', ['--out', 'd', '--pool', ''], /--pool.*item of the list is empty/],
    ['a flag without its value', ['--out'], /argument missing/],
    ['an unknown flag', ['--out', 'd', '--min-text', '3'], /--min-texts/],
  ])('%s is refused by the parser', (_, args, message) => {
    expect(() => parse(...args)).toThrow(CommanderError);
    expect(() => parse(...args)).toThrow(message);
  });

  test.each([
    [['--min-texts', '1'], '--min-texts: '],
    [['--min-texts', '2.5'], '--min-texts: '],
    [['--pool', 'last,median'], '--pool: '],
    [['--stop', ''], '--stop: '],
  ])('%j is refused by the schema, which names the flag', (args, start) => {
    try {
      parse('--out', 'd', ...args);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(MoralscopeError);
      expect(error).toMatchObject({ code: 'misuse', message: expect.stringMatching(new RegExp(`^${start}`)) });
    }
  });

  test('help says every description and default', () => {
    const help = addFlags(new Command('test'), schema).helpInformation();
    for (const [key, field] of Object.entries(schema.shape)) {
      expect(help).toContain(flagName(key));
      expect(help).toContain(field.description);
    }
    expect(help).toMatch(/--pool <list> +poolings \(default: last\)/);
    expect(help).toMatch(/--offline +no network\n/);
    expect(help).toMatch(/--corpus <list> +corpora\n/);
    expect(help).toMatch(/--stop <text> +where to end \(repeatable\)\n/);
  });
});
