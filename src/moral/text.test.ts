import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, literal } from './database.js';
import { actionText, actionTextSql, hasTextSql, normalisedText, normalisedTextSql } from './text.js';

const actions: [string, string, string][] = [
  ['looking out for a friend.', 'looking out for a friend', 'looking out for a friend'],
  ['  Stealing\tBack  the  bike .  ', 'Stealing\tBack  the  bike', 'stealing back the bike'],
  ['waiting...', 'waiting..', 'waiting..'],
  ['a . .', 'a .', 'a .'],
  ['paying 3.50', 'paying 3.50', 'paying 3.50'],
  ['.', '', ''],
  ['\u00a0caf\u0065\u0301 \u3000visits\u2028.', 'caf\u0065\u0301 \u3000visits', 'caf\u00e9 visits'],
  ['\ufeffÉCRIRE À Ömer.\r\n', 'ÉCRIRE À Ömer', 'écrire à ömer'],
  ['said "no"', 'said "no"', 'said "no"'],
  ["it's 你好 。", "it's 你好 。", "it's 你好 。"],
  ['line\none', 'line\none', 'line one'],
];

describe('texts', () => {
  const directory = mkdtempSync(join(tmpdir(), 'moralscope-'));
  let database: Database;
  beforeAll(async () => {
    database = await Database.open({ directory });
  });
  afterAll(() => {
    database.close();
    rmSync(directory, { recursive: true });
  });

  test.each(actions)('%j', async (action, text, normalised) => {
    expect(actionText(action)).toBe(text);
    expect(normalisedText(text)).toBe(normalised);
    const [sql] = await database.rows(
      `SELECT ${actionTextSql('a')} AS text, ${normalisedTextSql(actionTextSql('a'))} AS normalised, ${hasTextSql('a')} AS any
       FROM (SELECT ${literal(action)} AS a)`,
    );
    expect(sql).toEqual({ text, normalised, any: text !== '' });
  });

  test('an action of full stops and white space has no text', async () => {
    const [found] = await database.rows(`SELECT ${hasTextSql(literal(' .. .\u00a0'))} AS any`);
    expect(found).toEqual({ any: false });
  });
});
