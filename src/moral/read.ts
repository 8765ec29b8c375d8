import { resolve } from 'node:path';
import { readManifest } from '../artifact/directory.js';
import { MoralscopeError } from '../errors.js';
import { CORPUS_FORMAT, CORPUS_FORMAT_VERSION, type Corpus, contentHash } from './corpus.js';
import { Database, literal } from './database.js';
import { FOUNDATIONS } from './foundation.js';

/**
 * Reads a corpus directory that `buildCorpus` made.
 * @throws MoralscopeError `not-found` where there is none, `bad-file` where its content is not what its manifest says
 */
export async function readCorpus(dir: string): Promise<Corpus> {
  const { details, formatVersion } = await readManifest(dir, CORPUS_FORMAT);
  if (formatVersion !== CORPUS_FORMAT_VERSION)
    throw damaged(dir, `version ${formatVersion} of the format, where this version reads ${CORPUS_FORMAT_VERSION}`);
  const directory = resolve(dir);
  const texts: string[] = [];
  const database = await Database.open({ directory });
  try {
    const file = (name: string) => `read_parquet(${literal(`${directory}/${name}.parquet`)})`;
    await database.each(`SELECT action FROM ${file('texts')} ORDER BY text`, ([action]) => texts.push(action as string));
    const [{ length }] = await database.rows<{ length: number }>(`SELECT count(*)::INTEGER AS length FROM ${file('rows')}`);
    const rows = {
      length,
      text: new Int32Array(length),
      annotation: new Int32Array(length),
      foundation: new Uint8Array(length),
      signed: new Float32Array(length),
    };
    let i = 0;
    const names = FOUNDATIONS.map(literal).join(', ');
    await database.each(
      `SELECT text, annotation, (list_position([${names}], foundation) - 1)::INTEGER, signed FROM ${file('rows')} ORDER BY row`,
      ([text, annotation, foundation, signed]) => {
        rows.text[i] = text as number;
        rows.annotation[i] = annotation as number;
        rows.foundation[i] = foundation as number;
        rows.signed[i++] = signed as number;
      },
    );
    const sha256 = contentHash(texts, rows);
    if (sha256 !== details.sha256) throw damaged(dir, 'content that its manifest does not describe');
    return { name: String(details.name), authored: details.authored === true, sha256, texts, rows };
  } catch (error) {
    if (error instanceof MoralscopeError) throw error;
    throw damaged(dir, (error as Error).message.split('\n', 1)[0], error);
  } finally {
    database.close();
  }
}

function damaged(dir: string, what: string, cause?: unknown): MoralscopeError {
  return new MoralscopeError('bad-file', `The corpus in ${dir} has ${what}.`, 'Remove it and build the corpus again.', { cause });
}
