import { readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256, writeFileAtomic } from '../artifact/files.js';
import { cached } from '../checkpoint/cache.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { requireFreeSpace } from '../checkpoint/disk-space.js';
import { MoralscopeError } from '../errors.js';
import type { StoredTensor } from '../graph/builder.js';
import { encodeModel } from '../graph/onnx.js';
import { WeightsWriter } from '../graph/weights-file.js';
import type { WorkOptions } from '../progress.js';
import type { CompiledDecoder, LogitsOf } from './compiled-decoder.js';
import { decoderGraph, firstBlock, graphDepth } from './decoder-graph.js';
import { mapDecoder } from './family.js';
import { footprints } from './footprint.js';
import { headWidth } from './heads.js';
import { checkShapes, type InterventionShape } from './intervention.js';
import type { DecoderMapping } from './mapping.js';
import { decoderWeights } from './parameters.js';
import { type Precision, requirePrecision, storedType } from './precision.js';
import { type RotaryFrequencies, rotaryFrequencies } from './rotary.js';
import { distinctSights } from './sight.js';
import { comesBefore, formatSite, parseSite, sitesOfAllLayers } from './site.js';
import type { DecoderSpec } from './spec.js';
import { checkShape, readParts, tensorPart } from './stored-parameters.js';

export interface CompileOptions extends WorkOptions {
  /** Sites to tap, by name; default: `blocks.{L}.hook_resid_post` of every layer. Layers above the last are left out. */
  sites?: readonly string[] | undefined;
  /** Also the logits after the last token of each text, or after every token. Default: none. */
  logits?: LogitsOf | undefined;
  /** Only the logits of these tokens, in this order. Default: of the whole vocabulary. */
  logitTokens?: readonly number[] | undefined;
  /** With keys and values of earlier tokens kept from run to run, for a `DecodingSession`. Default: false. */
  cache?: boolean | undefined;
  /** A site, by name, whose states every run is given, in place of those that the blocks up to it would give. */
  given?: string | undefined;
  /**
   * Changes of states, one a site at most (`shapeOf` an intervention), for which a run may be given the numbers (`Steering`). A tapped
   * site shows what its change has made of it. Default: none.
   */
  interventions?: readonly InterventionShape[] | undefined;
  /** Of the weights. Default: fp32. */
  precision?: Precision | undefined;
}

/** Raise it when what is written changes, so that graphs of older versions are not used. */
const LAYOUT = 3;
const WEIGHTS = 'weights.bin';
const MANIFEST = 'manifest.json';

/** What `manifest.json` says of a model's weights as graphs use them. */
interface GraphManifest {
  format: 'moralscope.graph';
  formatVersion: number;
  checkpoint: { sha256: string };
  family: string;
  spec: DecoderMapping['spec'];
  precision: Precision;
  tensors: Record<string, StoredTensor>;
}

/**
 * Makes the graph of a checkpoint's decoder, or finds it in the cache: `graphs/{family}-{precision}-{content hash}/` holds the
 * weights, which all graphs of the model share, and one .onnx file for each choice of sites.
 * @throws MoralscopeError `misuse` for a site the model does not have, two interventions at one, or what is no precision; `unsupported`, `bad-file` for a checkpoint we cannot
 * build, or whose weights are not finite; `disk`; `cancelled`
 */
export async function compileDecoder(
  checkpoint: Checkpoint,
  options: CompileOptions = {},
  /** How to read the checkpoint; default: what its own configuration says. */
  mapping: DecoderMapping = mapDecoder(checkpoint),
): Promise<CompiledDecoder> {
  const { spec } = mapping;
  const precision = requirePrecision(options.precision ?? 'fp32');
  const sites = options.sites?.map((name) => parseSite(name, spec.layers)) ?? sitesOfAllLayers(spec.layers);
  const names = sites.map(formatSite);
  if (new Set(names).size !== names.length)
    throw new MoralscopeError('misuse', `A site is named twice: ${names.join(', ')}.`, 'Name each once.');
  const logits = options.logits ?? null;
  if (!logits && sites.length === 0)
    throw new MoralscopeError('misuse', 'Neither a site nor logits were asked for.', 'Name a site.');
  const interventions = options.interventions ?? [];
  checkShapes(interventions, spec.layers);
  const { directory, tensors, ropes } = await storeDecoder(checkpoint, mapping, precision, options);
  const cache = options.cache ?? false;
  const given = options.given === undefined ? undefined : parseSite(options.given, spec.layers);
  const unused = given && interventions.find(({ site }) => comesBefore(parseSite(site, spec.layers), given));
  if (unused) throw new RangeError(`an intervention at ${unused.site}, which is before the given ${formatSite(given)}`);
  const logitTokens = options.logitTokens ?? null;
  if (
    logitTokens &&
    (logitTokens.length === 0 || !logitTokens.every((id) => Number.isInteger(id) && id >= 0 && id < spec.vocabulary))
  )
    throw new RangeError(`logits of the tokens ${logitTokens.join(', ')}; the vocabulary has ${spec.vocabulary}`);
  const model = encodeModel(
    decoderGraph(spec, {
      sites,
      logits,
      logitTokens,
      cache,
      given,
      interventions: interventions.map((shape) => ({ shape })),
      weights: { file: WEIGHTS, tensors },
    }),
  );
  const graph = join(directory, `${sha256(model).slice(0, 16)}.onnx`);
  const present = await readFile(graph).catch(() => undefined);
  if (!present?.equals(model)) await writeFileAtomic(graph, model);
  const { hidden, vocabulary, context, attention } = spec;
  const [first, layers] = [firstBlock({ sites, given }), graphDepth(spec, { sites, logits })];
  return {
    graph,
    sites: names,
    given: given ? formatSite(given) : null,
    interventions,
    logits,
    logitTokens,
    precision,
    hidden,
    vocabulary,
    context,
    ropes,
    sights: distinctSights(spec.blocks.slice(first, layers)),
    cache: cache
      ? { layers: layers - first, heads: attention.kvHeads, width: headWidth(attention), queries: attention.heads }
      : null,
  };
}

/** The precision of the weights in a directory of compiled graphs; undefined where they are of another version, which is not used. */
export async function compiledPrecision(directory: string): Promise<Precision | undefined> {
  const manifest = await readFile(join(directory, MANIFEST), 'utf8')
    .then((text) => JSON.parse(text) as GraphManifest)
    .catch(() => undefined);
  return manifest?.formatVersion === LAYOUT ? manifest.precision : undefined;
}

/** A decoder's weights as graphs use them. */
export interface StoredDecoder {
  directory: string;
  /** Name of the file in it that holds them. */
  file: string;
  /** Where in the file each lies. */
  tensors: Record<string, StoredTensor>;
  /** Its rotary positions by name. */
  ropes: Record<string, RotaryFrequencies>;
}

/**
 * Writes the weights of a decoder, or finds them in the cache.
 * @throws MoralscopeError as `compileDecoder`
 */
export async function storeDecoder(
  checkpoint: Checkpoint,
  mapping: DecoderMapping,
  precision: Precision,
  options: WorkOptions,
): Promise<StoredDecoder> {
  checkHeads(checkpoint, mapping.spec);
  const stored = await storeWeights(checkpoint, mapping, precision, options);
  return { ...stored, file: WEIGHTS, ropes: await readRopes(checkpoint, mapping) };
}

async function readRopes(checkpoint: Checkpoint, mapping: DecoderMapping): Promise<Record<string, RotaryFrequencies>> {
  const { ropes, attention } = mapping.spec;
  const found: Record<string, RotaryFrequencies> = {};
  for (const [name, rope] of Object.entries(ropes)) {
    const tensor = rope.scaling?.kind === 'divisors' && tensorPart(mapping, { parameter: 'ropeDivisors' }).tensor;
    found[name] = rotaryFrequencies(rope, attention, tensor ? await checkpoint.tensors.read(tensor) : undefined);
  }
  return found;
}

async function storeWeights(
  checkpoint: Checkpoint,
  mapping: DecoderMapping,
  precision: Precision,
  options: WorkOptions,
): Promise<{ directory: string; tensors: Record<string, StoredTensor> }> {
  const content = { layout: LAYOUT, checkpoint: await checkpoint.sha256(), mapping, precision };
  const name = `${mapping.family}-${precision}-${sha256(JSON.stringify(content)).slice(0, 16)}`;
  const entry = await cached(
    'graphs',
    name,
    async ({ path, work }) => {
      const weights = await writeWeights(join(work, WEIGHTS), checkpoint, mapping, precision, options);
      await rename(join(work, WEIGHTS), join(path, WEIGHTS));
      const manifest: GraphManifest = {
        format: 'moralscope.graph',
        formatVersion: LAYOUT,
        checkpoint: { sha256: content.checkpoint },
        family: mapping.family,
        spec: mapping.spec,
        precision,
        tensors: weights.tensors,
      };
      const text = JSON.stringify(manifest);
      await writeFileAtomic(join(path, MANIFEST), text);
      return {
        source: checkpoint.path,
        files: [
          { name: WEIGHTS, bytes: weights.bytes, sha256: weights.sha256 },
          { name: MANIFEST, bytes: Buffer.byteLength(text), sha256: sha256(text) },
        ],
      };
    },
    options,
  );
  const { tensors } = JSON.parse(await readFile(join(entry.path, MANIFEST), 'utf8')) as Pick<GraphManifest, 'tensors'>;
  return { directory: entry.path, tensors };
}

async function writeWeights(
  path: string,
  checkpoint: Checkpoint,
  mapping: DecoderMapping,
  precision: Precision,
  { onProgress, signal }: WorkOptions,
) {
  const weights = decoderWeights(mapping.spec);
  for (const { parts } of weights) for (const part of parts) checkShape(checkpoint, mapping, part);
  const writer = await WeightsWriter.create(path);
  try {
    // The file is empty by now, whatever a killed process had written there.
    await requireFreeSpace(dirname(path), footprints(mapping.spec)[precision].bytes);
    for (const [done, weight] of weights.entries()) {
      onProgress?.({ task: 'compile', done, total: weights.length, unit: 'tensors' });
      const { name, shape } = weight;
      const numbers = readParts(checkpoint, mapping, weight.parts, signal);
      const type = storedType(weight, precision);
      if (type === 'float32') await writer.write(name, shape, finite(numbers, name, checkpoint));
      else await writer.writeQuantised(name, shape as [number, number], numbers, type);
    }
    onProgress?.({ task: 'compile', done: weights.length, total: weights.length, unit: 'tensors' });
    return await writer.finish();
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}

/** The same numbers; one that is NaN or infinite would make every state so, and no error would show it. */
async function* finite(parts: AsyncIterable<Float32Array>, name: string, { path }: Checkpoint): AsyncGenerator<Float32Array> {
  for await (const part of parts) {
    let sum = 0;
    for (let i = 0; i < part.length; i++) sum += 0 * part[i];
    if (sum !== 0)
      throw new MoralscopeError(
        'bad-file',
        `${path}: ${name} holds numbers that are not finite.`,
        'The file is damaged: fetch it again.',
      );
    yield part;
  }
}

function checkHeads({ path }: Checkpoint, { attention, blocks }: DecoderSpec): void {
  const { heads, kvHeads, headDim, rotated = headDim } = attention;
  const uneven = rotated % 2 !== 0 && blocks.some(({ rope }) => rope !== null);
  if (!Number.isInteger(headDim) || heads % kvHeads !== 0 || uneven)
    throw new MoralscopeError(
      'bad-file',
      `${path}: ${heads} heads of ${headDim} elements, ${rotated} of them rotated by halves, share ${kvHeads} heads of keys; these must divide evenly.`,
      'The file is damaged: fetch it again.',
    );
}
