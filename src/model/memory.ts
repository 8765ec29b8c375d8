import { MoralscopeError } from '../errors.js';
import type { CompileOptions } from './compile.js';
import { graphDepth } from './decoder-graph.js';
import { footprints } from './footprint.js';
import { decoderWeights } from './parameters.js';
import { parseSite, sitesOfAllLayers } from './site.js';
import type { DecoderSpec } from './spec.js';

/**
 * Refuses a graph that this machine cannot run, before it is compiled. Only what is certain counts: in fp32 onnxruntime copies the
 * matrices of the blocks (tables and experts are left out: some stay in the mapped file), while reduced weights are mapped and the system may drop them.
 * @param free bytes that the system can give; 0: it does not tell, and nothing is refused
 * @throws MoralscopeError `memory`
 */
export function requireMemory(
  name: string,
  spec: DecoderSpec,
  options: Pick<CompileOptions, 'sites' | 'given' | 'logits' | 'precision'>,
  free: number = process.availableMemory(),
): void {
  if ((options.precision ?? 'fp32') !== 'fp32' || free === 0) return;
  const { layers: all } = spec;
  const sites = options.sites?.map((site) => parseSite(site, all)) ?? sitesOfAllLayers(all);
  const end = graphDepth(spec, { sites, logits: options.logits ?? null });
  const begin = options.given === undefined ? 0 : parseSite(options.given, all).layer + 1;
  let needed = 0;
  for (const { shape, parts } of decoderWeights(spec)) {
    const [{ layer, expert }] = parts;
    const within = layer !== undefined && layer >= begin && layer < end;
    if (within && shape.length === 2 && expert === undefined) needed += 4 * shape[0] * shape[1];
  }
  if (needed <= free) return;
  const { int8, int4 } = footprints(spec);
  throw new MoralscopeError(
    'memory',
    `${name} at fp32 needs ${gigabytes(needed)} of memory for the matrices of ${end - begin} of its layers alone, and ${gigabytes(free)} are free.`,
    `Choose --precision int8 (about ${gigabytes(int8.memory)} in all) or int4 (${gigabytes(int4.memory)}), fewer layers, or a machine with more memory.`,
  );
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
