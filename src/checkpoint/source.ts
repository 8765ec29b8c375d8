import { MoralscopeError } from '../errors.js';
import type { WorkOptions } from '../progress.js';
import { type CacheEntry, type CacheKind, cacheDirectory, findCached } from './cache.js';
import type { Terms } from './catalog.js';

export interface SourceOptions extends WorkOptions {
  /** Use what is there and never the network; MORALSCOPE_OFFLINE=1 and HF_HUB_OFFLINE=1 say the same. */
  offline?: boolean | undefined;
}

/** A model's bytes on this machine. */
export interface ModelSource {
  /** The source as it was given; for reports. */
  name: string;
  /** A .gguf file (of a split model the first), or a directory with config.json and safetensors. */
  path: string;
  /** Of the file, where it was fetched and checked. */
  sha256?: string;
  /** The commit, for a model of the hub. */
  revision?: string;
  terms?: Terms;
}

/** A data set's file on this machine. */
export interface DatasetSource {
  name: string;
  path: string;
  sha256: string;
  terms: Terms;
}

export function isOffline(options: SourceOptions): boolean {
  const told = [process.env.MORALSCOPE_OFFLINE, process.env.HF_HUB_OFFLINE];
  return options.offline ?? told.some((value) => /^(1|true|yes|on)$/i.test(value ?? ''));
}

export function notCached(source: string, directory: string): MoralscopeError {
  return new MoralscopeError(
    'not-found',
    `${source} is not in the cache ${directory}, and the network is off.`,
    `Run it once with the network on: moralscope pull ${source}`,
  );
}

/** The cache's entry, made by `make` where it is missing and the network is allowed. */
export async function cachedOr(
  make: () => Promise<Required<CacheEntry>>,
  what: { kind: CacheKind; name: string; source: string; sha256?: string | undefined },
  options: SourceOptions,
): Promise<Required<CacheEntry>> {
  const found = await findCached(what.kind, what.name, what.sha256);
  if (found) return found;
  if (isOffline(options)) throw notCached(what.source, cacheDirectory());
  return make();
}
