/** @file What there is to open, and what of it this machine can hold. */
import { stat, statfs } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { dirname } from 'node:path';
import { diskError } from './artifact/files.js';
import { cacheDirectory, cacheEntries } from './checkpoint/cache.js';
import { MODELS } from './checkpoint/catalog.js';
import type { Checkpoint } from './checkpoint/checkpoint.js';
import { hubCacheDirectory } from './checkpoint/hub.js';
import { resolveModel } from './checkpoint/sources.js';
import type { TensorFile } from './checkpoint/tensors.js';
import { MoralscopeError } from './errors.js';
import { CATALOG_FACTS } from './model/catalog-facts.js';
import { compiledPrecision } from './model/compile.js';
import { knownArchitectures, mapDecoder } from './model/family.js';
import { type Footprint, footprints } from './model/footprint.js';
import { PRECISIONS, type Precision } from './model/precision.js';
import { STUDY_MODELS } from './model/study-models.js';

export interface Inventory {
  /** Architectures that can be opened, and in which files. */
  families: { architecture: string; formats: Checkpoint['format'][] }[];
  machine: Machine;
  models: ListedModel[];
}

/** Bytes. */
export interface Machine {
  memory: { total: number; free: number };
  /** Free where models of the hub are kept, and where compiled ones are; `same`: it is one disk. */
  disk: { models: number; graphs: number; same: boolean };
}

export interface ListedModel {
  /** As `resolveModel` and `--model` take it. */
  source: string;
  /** Of our catalog, or of the study. */
  list: 'catalog' | 'study';
  kind: 'base' | 'instruct' | 'guard';
  parameters: number;
  /** Bytes to download. */
  bytes: number;
  /** Where it lies on this machine; null: it is not here. */
  path: string | null;
  /** null where its family cannot be opened. */
  compiled: Record<Precision, CompiledFootprint> | null;
  /** Where configuration and parameters of a model of the study are quoted. */
  quoted?: string;
  counted?: string;
  derived?: string;
}

export interface CompiledFootprint extends Footprint {
  /** Whether it is compiled already. */
  present: boolean;
  /** What this machine has too little of: free memory for the capture, or free disk for the download and the compiled weights. */
  lacks: ('memory' | 'disk')[];
}

/**
 * The families that can be opened; the catalog's models and the study's, whether they are here (in our cache, or in the one that the
 * hub's Python tools share), their sizes, and whether this machine can hold them now. Nothing is fetched.
 */
export async function listModels(machine?: Machine): Promise<Inventory> {
  const measured = machine ?? (await measureMachine());
  const graphs: { source: string; precision: Precision | undefined }[] = [];
  for (const { kind, path, record } of await cacheEntries())
    if (kind === 'graphs' && record) graphs.push({ source: record.source, precision: await compiledPrecision(path) });
  const catalog = MODELS.map(({ name, bytes }) => ({ source: name, list: 'catalog' as const, bytes, ...CATALOG_FACTS[name] }));
  const study = STUDY_MODELS.map((model) => ({ ...model, list: 'study' as const }));
  const models: ListedModel[] = [];
  for (const { config, ...model } of [...catalog, ...study]) {
    const path = await whereIs(model.source);
    const compiled = graphs.filter(({ source }) => source === path).map(({ precision }) => precision);
    models.push({ ...model, path, compiled: whatFits(model, config, path, compiled, measured) });
  }
  return { families: knownArchitectures(), machine: measured, models };
}

function whatFits(
  { source, list, bytes }: Pick<ListedModel, 'source' | 'list' | 'bytes'>,
  config: Readonly<Record<string, unknown>>,
  path: string | null,
  compiled: readonly (Precision | undefined)[],
  { memory, disk }: Machine,
): ListedModel['compiled'] {
  let spec: ReturnType<typeof mapDecoder>['spec'];
  try {
    ({ spec } = mapDecoder(unread(source, config)));
  } catch (error) {
    if (error instanceof MoralscopeError && error.code === 'unsupported') return null;
    throw error;
  }
  const needs = footprints(spec);
  const of = (precision: Precision): CompiledFootprint => {
    const present = compiled.includes(precision);
    const needed = needs[precision];
    const lacks: CompiledFootprint['lacks'] = [];
    if (needed.memory > memory.free) lacks.push('memory');
    const download = path === null ? bytes : 0;
    const compile = present ? 0 : needed.bytes;
    // The catalog's models are kept where the graphs are.
    const together = disk.same || list === 'catalog';
    if (together ? download + compile > disk.graphs : download > disk.models || compile > disk.graphs) lacks.push('disk');
    return { ...needed, present, lacks };
  };
  return Object.fromEntries(PRECISIONS.map((precision) => [precision, of(precision)])) as Record<Precision, CompiledFootprint>;
}

async function whereIs(source: string): Promise<string | null> {
  try {
    return (await resolveModel(source, { offline: true })).path;
  } catch (error) {
    if (error instanceof MoralscopeError && error.code === 'not-found') return null;
    throw error;
  }
}

/** A checkpoint of which the configuration alone is known. */
function unread(source: string, metadata: Readonly<Record<string, unknown>>): Checkpoint {
  const nothing = () => {
    throw new RangeError(`${source} was not read`);
  };
  const tensors: TensorFile = {
    names: () => [],
    has: () => false,
    info: nothing,
    read: nothing,
    readRows: nothing,
    close: async () => {},
  };
  return {
    path: source,
    format: 'safetensors',
    architecture: String(metadata.model_type),
    metadata: { ...metadata },
    tensors,
    tokenizer: nothing,
    sha256: nothing,
    close: async () => {},
  };
}

async function measureMachine(): Promise<Machine> {
  const [models, graphs] = await Promise.all([hubCacheDirectory(), cacheDirectory()].map(freeSpace));
  return {
    memory: { total: totalmem(), free: process.availableMemory() },
    disk: { models: models.bytes, graphs: graphs.bytes, same: models.device === graphs.device },
  };
}

/** Of the file system that the directory lies on, or would lie on. */
async function freeSpace(directory: string): Promise<{ bytes: number; device: number }> {
  try {
    const [{ bavail, bsize }, { dev }] = await Promise.all([statfs(directory), stat(directory)]);
    return { bytes: bavail * bsize, device: dev };
  } catch (error) {
    const parent = dirname(directory);
    if (parent === directory) throw diskError(error, directory);
    return freeSpace(parent);
  }
}
