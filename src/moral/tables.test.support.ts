import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import type { MoralscopeError } from '../errors.js';

/** @file Tables of judgments, written for a test into a directory of its own. */

export const directory = mkdtempSync(join(tmpdir(), 'moralscope-'));
afterAll(() => rmSync(directory, { recursive: true }));
let n = 0;

/** A path in a new directory. */
export function fresh(name: string): string {
  const dir = join(directory, String(n++));
  mkdirSync(dir);
  return join(dir, name);
}

/** A new file. */
export function file(name: string, content: string | Buffer): string {
  const path = fresh(name);
  writeFileSync(path, content);
  return path;
}

/** The error that work ends with. */
export async function failure(work: Promise<unknown>): Promise<MoralscopeError> {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toMatchObject({ name: 'MoralscopeError' });
  return error as MoralscopeError;
}

export const HEADER = 'action\trot-moral-foundations\taction-moral-judgment\taction-agree\trot-bad\tm';
/** A table of these rows. */
export const table = (...lines: string[]) => `${[HEADER, ...lines].join('\n')}\n`;
/** A sound row. */
export const GOOD = 'helping out\tcare-harm\t1\t3\t0\t1';
