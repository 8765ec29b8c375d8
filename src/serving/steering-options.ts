import { z } from 'zod';
import { MODES } from '../alignment/remedy-schema.js';
import { MoralscopeError } from '../errors.js';
import { POSITIONS } from '../model/intervention.js';
import { PRECISIONS } from '../model/precision.js';

/** Which model, and how it is changed: flags of `serve`, `generate` and `chat`. */
export const SteeringFields = {
  model: z.string().describe('smollm2-135m, a path, hf:owner/name ...'),
  remedy: z.array(z.string()).default([]).describe('directories of remedies, comma-separated, each DIRECTORY or NAME=DIRECTORY'),
  mode: z.enum(MODES).optional().describe("how states are changed; default: the remedy's usual mode"),
  positions: z.enum(POSITIONS).optional().describe('tokens that are changed, never the first, nor other sinks; default: all'),
  layers: z
    .array(z.coerce.number<string | number>().int().nonnegative())
    .optional()
    .describe("some of the remedy's layers; default: all"),
  strength: z.number().optional().describe('of the change where an id says none; default: 1'),
  precision: z.enum(PRECISIONS).default('fp32').describe('of the weights'),
  threads: z.int().positive().optional().describe('default: as many as the machine has cores'),
};

const OF_REMEDY = ['arm', 'mode', 'positions', 'layers', 'strength'] as const;

/**
 * Without a remedy what says how it is put to use would go unheeded, and the model as it is pass for a changed one.
 * @throws MoralscopeError `misuse` naming what was given without a remedy
 */
export function requireRemedyFor(
  given: { remedy?: string | readonly string[] | undefined } & { [Name in (typeof OF_REMEDY)[number]]?: unknown },
): void {
  if (given.remedy?.length) return;
  const idle = OF_REMEDY.filter((name) => given[name] !== undefined).map((name) => `--${name}`);
  if (idle.length === 0) return;
  throw new MoralscopeError(
    'misuse',
    `There is no remedy for ${idle.join(', ')} to be of: the model would stay as it is.`,
    `Name it with --remedy, or leave ${idle.join(', ')} out.`,
  );
}
