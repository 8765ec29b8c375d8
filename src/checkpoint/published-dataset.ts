import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MoralscopeError } from '../errors.js';
import { extractMember, listArchive } from './archive.js';
import { type CachedFile, cached } from './cache.js';
import type { CatalogDataset } from './catalog.js';
import { download } from './download.js';
import { cachedOr, type DatasetSource, type SourceOptions } from './source.js';

/** A data set of the catalog, out of its published zip and the cache. Throws as `resolveDataset` does. */
export async function publishedDataset(dataset: CatalogDataset, options: SourceOptions): Promise<DatasetSource> {
  const { name, file, sha256, terms } = dataset;
  const entry = await cachedOr(
    () => cached('datasets', name, ({ path, work }) => fill(dataset, path, work, options), { ...options, sha256 }),
    { kind: 'datasets', name, source: name, sha256 },
    options,
  );
  return { name, path: join(entry.path, file), sha256, terms };
}

async function fill(
  dataset: CatalogDataset,
  path: string,
  work: string,
  options: SourceOptions,
): Promise<{ source: string; files: CachedFile[] }> {
  const endpoint = (process.env.MORALSCOPE_DATA_ENDPOINT || dataset.endpoint).replace(/\/+$/, '');
  const url = `${endpoint}/${dataset.path}`;
  const archive = join(work, basename(dataset.path));
  await download(url, archive, { ...options, task: `fetch ${dataset.name}` });
  const members = await listArchive(archive, (name) => basename(name) === dataset.file);
  const to = join(path, dataset.file);
  const found =
    members.length === 1
      ? await extractMember(archive, members[0].name, to, {
          ...options,
          task: `unpack ${dataset.name}`,
          maxBytes: dataset.bytes,
        })
      : undefined;
  if (found?.sha256 !== dataset.sha256) {
    await rm(work, { recursive: true, force: true });
    await rm(to, { force: true });
    throw new MoralscopeError(
      'bad-file',
      `${dataset.file} of ${url} ${found ? `has sha256 ${found.sha256}, expected ${dataset.sha256}` : 'is missing'}; it was removed.`,
      'Pull it again; if that does not help, the publisher has changed it.',
    );
  }
  return { source: url, files: [{ name: dataset.file, ...found }] };
}
