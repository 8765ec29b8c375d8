import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../../artifact/files.js';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { requireFreeSpace } from '../../checkpoint/disk-space.js';
import { tokenizerFiles } from '../../checkpoint/tokenizer-files.js';
import { throwIfCancelled } from '../../errors.js';
import { encodeModel } from '../../graph/onnx.js';
import { type StoredType, WeightsWriter } from '../../graph/weights-file.js';
import { type StoredDecoder, storeDecoder } from '../../model/compile.js';
import { mapDecoder } from '../../model/family.js';
import { type Intervention, interventionTensors, shapeOf } from '../../model/intervention.js';
import type { Precision } from '../../model/precision.js';
import { RotaryTable } from '../../model/rotary.js';
import type { WorkOptions } from '../../progress.js';
import { generationConfig, hubConfig } from './hub-config.js';
import { changeTensor, onnxGraph } from './onnx-graph.js';
import { rotaryNames } from './standard-inputs.js';

export interface OnnxDirectoryOptions extends WorkOptions {
  /** For all tokens; default: none. */
  interventions?: readonly Intervention[] | undefined;
  /** Of all interventions, for good; null: an input of the graph. Default: 1. */
  strength?: number | null | undefined;
  /** Of the weights. Default: fp32. */
  precision?: Precision | undefined;
}

const GRAPH = 'model.onnx';
const DATA = 'model.onnx_data';

/**
 * Writes a model as transformers.js has them: onnx/model.onnx with its weights in onnx/model.onnx_data, config.json,
 * generation_config.json, tokenizer.json and tokenizer_config.json.
 * @returns names of the files
 * @throws MoralscopeError what `compileDecoder` and the checkpoint's tokenizer throw; `misuse` for interventions that do not fit; `disk`; `cancelled`
 */
export async function writeOnnxDirectory(
  path: string,
  checkpoint: Checkpoint,
  options: OnnxDirectoryOptions = {},
): Promise<string[]> {
  const { interventions = [], strength = 1, precision = 'fp32' } = options;
  const mapping = mapDecoder(checkpoint);
  const { spec } = mapping;
  const decoder = await storeDecoder(checkpoint, mapping, precision, options);
  const tables = rotaryTables(decoder, spec.context);
  for (const [i, intervention] of interventions.entries())
    for (const [name, { data, shape }] of Object.entries(interventionTensors(intervention, spec.hidden)))
      tables[changeTensor(i, name)] = { data: data as Float32Array, shape };
  await mkdir(join(path, 'onnx'), { recursive: true });
  const tensors = await writeData(join(path, 'onnx', DATA), decoder, tables, options);
  const shapes = interventions.map(shapeOf);
  const graph = onnxGraph(spec, { interventions: shapes, strength, weights: { file: DATA, tensors } });
  await writeFileAtomic(join(path, 'onnx', GRAPH), encodeModel(graph));
  const tokenizer = await checkpoint.tokenizer();
  const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`;
  const files = {
    'config.json': json(hubConfig(checkpoint, mapping, tokenizer)),
    'generation_config.json': json(await generationConfig(checkpoint, tokenizer)),
    ...(await tokenizerFiles(checkpoint, spec.context)),
  };
  for (const [name, content] of Object.entries(files)) await writeFileAtomic(join(path, name), content);
  return [`onnx/${GRAPH}`, `onnx/${DATA}`, ...Object.keys(files)];
}

type Tables = Record<string, { data: Float32Array; shape: readonly number[] }>;

/** cos and sin for every position, and for one more, since some callers count from 1. */
function rotaryTables({ ropes }: StoredDecoder, context: number): Tables {
  const found: Tables = {};
  for (const [name, rope] of Object.entries(ropes)) {
    const names = rotaryNames(name);
    for (const [part, { data }] of Object.entries(new RotaryTable(rope).upTo(context + 1)))
      found[names[part as keyof typeof names]] = {
        data: (data as Float32Array).subarray(0, (context + 1) * rope.pairs),
        shape: [context + 1, rope.pairs],
      };
  }
  return found;
}

/** Writes the decoder's weights and these tables into one file; says where each tensor lies in it. */
async function writeData(path: string, decoder: StoredDecoder, tables: Tables, { onProgress, signal }: WorkOptions) {
  const names = Object.keys(decoder.tensors);
  const writer = await WeightsWriter.create(path);
  try {
    const bytes = Object.values(decoder.tensors).reduce((sum, tensor) => sum + tensor.bytes, 0);
    await requireFreeSpace(dirname(path), bytes);
    for (const [done, name] of names.entries()) {
      throwIfCancelled(signal);
      onProgress?.({ task: 'export', done, total: names.length, unit: 'tensors' });
      const { type, shape, offset, bytes: length } = decoder.tensors[name];
      const range = { start: offset, end: offset + length - 1, highWaterMark: 1 << 20 };
      await writer.write(name, shape, createReadStream(join(decoder.directory, decoder.file), range), type as StoredType);
    }
    for (const [name, { data, shape }] of Object.entries(tables)) await writer.write(name, shape, [data]);
    return (await writer.finish()).tensors;
  } catch (error) {
    await writer.abandon();
    throw error;
  }
}
