/** @file States in fp32 of any model whose largest block fits, one block after the other: what a reduced precision is judged by. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, writeFileAtomic } from '../artifact/files.js';
import { FileLock } from '../artifact/lock.js';
import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { throwIfCancelled } from '../errors.js';
import type { StoredTensor } from '../graph/builder.js';
import { encodeModel } from '../graph/onnx.js';
import { WeightsWriter } from '../graph/weights-file.js';
import type { WorkOptions } from '../progress.js';
import type { CompiledDecoder } from './compiled-decoder.js';
import { type DecoderGraphOptions, decoderGraph } from './decoder-graph.js';
import { DecoderRunner } from './decoder-runner.js';
import type { DecoderMapping } from './mapping.js';
import { type DecoderWeight, decoderWeights } from './parameters.js';
import { formatSite } from './site.js';
import type { DecoderSpec } from './spec.js';
import { readParts } from './stored-parameters.js';
import { distinctBeginnings, type TokenBatch, type TokenRows } from './token-rows.js';

const WEIGHTS = 'weights.bin';

export interface ExactOptions extends WorkOptions {
  threads?: number | undefined;
  /** Where one block's weights at a time are kept; what is written there is removed. */
  directory: string;
}

/**
 * The stream after each block, [rows, hidden] for the rows of `distinctBeginnings`, then the logits after each text's last token,
 * [batch, vocabulary]. Every block is read from the checkpoint, written as fp32, run and removed, so that memory and disk hold one.
 * @param compiled of the same checkpoint, for what it says beside its weights
 */
export async function* exactStates(
  checkpoint: Checkpoint,
  mapping: DecoderMapping,
  compiled: CompiledDecoder,
  batch: TokenBatch,
  options: ExactOptions,
): AsyncGenerator<Float32Array> {
  const work = join(options.directory, '.exact');
  const task = 'fp32 for comparison';
  const lock = await FileLock.acquire(`${work}.lock`, {
    signal: options.signal,
    whileWaiting: ({ pid }) => options.onProgress?.({ task: `${task}: waiting for process ${pid}`, done: 0, unit: 'layers' }),
  });
  try {
    // What a killed process left.
    await rm(work, { recursive: true, force: true });
    await mkdir(work).catch((error) => {
      throw diskError(error, work);
    });
    const blocks = new ExactBlocks(checkpoint, mapping, compiled, batch, work, options);
    const { layers } = mapping.spec;
    let stream: Float32Array | undefined;
    for (let layer = 0; layer < layers; layer++) {
      options.onProgress?.({ task, done: layer, total: layers, unit: 'layers' });
      stream = await blocks.after(layer, stream);
      yield stream;
    }
    yield await blocks.logits(stream!);
  } finally {
    await rm(work, { recursive: true, force: true });
    await lock.release();
  }
}

class ExactBlocks {
  private readonly weights: readonly DecoderWeight[];
  private readonly rows: TokenRows;

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly mapping: DecoderMapping,
    private readonly compiled: CompiledDecoder,
    private readonly batch: TokenBatch,
    private readonly work: string,
    private readonly options: ExactOptions,
  ) {
    this.weights = decoderWeights(mapping.spec);
    this.rows = distinctBeginnings(batch);
  }

  /** The stream after a block, given the one before it; the first block begins with the embedding. */
  async after(layer: number, before: Float32Array | undefined): Promise<Float32Array> {
    const { spec } = this.mapping;
    const next = layer + 1 < spec.layers ? `blocks.${layer + 1}.attn_norm` : 'final_norm';
    const needed = (name: string) =>
      name.startsWith(`blocks.${layer}.`) || name.startsWith(`${next}.`) || (layer === 0 && name === 'positions');
    const given = before && ({ layer, point: 'resid_pre' } as const);
    const options = { sites: [{ layer, point: 'resid_post' }], logits: null, given } as const;
    const [tokens, ids] = before ? [[], this.rows.ids] : compact(this.rows.ids);
    const table = before ? undefined : await this.embed(tokens);
    return this.run(spec, options, { ...this.rows, ids }, before, async (writer) => {
      if (table) await writer.write('embedding', [tokens.length, spec.hidden], [table]);
      for (const weight of this.weights.filter(({ name }) => needed(name))) await this.copy(writer, weight);
    });
  }

  /** [batch, vocabulary], the vocabulary a piece at a time. */
  async logits(stream: Float32Array): Promise<Float32Array> {
    const { spec } = this.mapping;
    const { hidden, vocabulary, layers } = spec;
    const name = spec.tiedEmbedding ? 'embedding' : 'head';
    const options = { sites: [], logits: 'last', given: { layer: layers - 1, point: 'resid_post' } } as const;
    const all = new Float32Array(this.batch.batch * vocabulary);
    let done = 0;
    for await (const piece of this.read(name)) {
      const count = piece.length / hidden;
      const logits = await this.run({ ...spec, vocabulary: count }, options, this.rows, stream, async (writer) => {
        await writer.write(name, [count, hidden], [piece]);
        for (const weight of this.weights.filter((each) => each.name.startsWith('final_norm.'))) await this.copy(writer, weight);
      });
      for (let text = 0; text < this.batch.batch; text++)
        all.set(logits.subarray(text * count, (text + 1) * count), text * vocabulary + done);
      done += count;
    }
    return all;
  }

  /** Rows of the embedding. */
  private async embed(tokens: readonly number[]): Promise<Float32Array> {
    const { hidden } = this.mapping.spec;
    const table = new Float32Array(tokens.length * hidden);
    let first = 0;
    for await (const piece of this.read('embedding')) {
      const end = first + piece.length / hidden;
      for (const [i, token] of tokens.entries())
        if (token >= first && token < end)
          table.set(piece.subarray((token - first) * hidden, (token + 1 - first) * hidden), i * hidden);
      first = end;
    }
    return table;
  }

  private read(name: string): AsyncGenerator<Float32Array> {
    const { parts } = this.weights.find((weight) => weight.name === name)!;
    return readParts(this.checkpoint, this.mapping, parts, this.options.signal);
  }

  private async copy(writer: WeightsWriter, { name, shape, parts }: DecoderWeight): Promise<void> {
    await writer.write(name, shape, readParts(this.checkpoint, this.mapping, parts, this.options.signal));
  }

  /** The one output of a graph whose weights `write` writes. */
  private async run(
    spec: DecoderSpec,
    options: Pick<DecoderGraphOptions, 'sites' | 'logits' | 'given'>,
    rows: TokenRows,
    given: Float32Array | undefined,
    write: (writer: WeightsWriter) => Promise<void>,
  ): Promise<Float32Array> {
    throwIfCancelled(this.options.signal);
    const writer = await WeightsWriter.create(join(this.work, WEIGHTS));
    let written: Record<string, StoredTensor>;
    try {
      await write(writer);
      written = (await writer.finish()).tensors;
    } catch (error) {
      await writer.abandon();
      throw error;
    }
    // What the graph leaves out in the end is named all the same while it is built.
    const absent = this.weights.map(({ name, shape }) => [name, { type: 'float32', shape, offset: 0, bytes: 0 }] as const);
    const tensors = { ...Object.fromEntries(absent), ...written };
    const graph = join(this.work, 'block.onnx');
    const weights = { file: WEIGHTS, tensors };
    await writeFileAtomic(graph, encodeModel(decoderGraph(spec, { ...options, cache: false, weights })));
    const sites = options.sites.map(formatSite);
    const compiled = { ...this.compiled, graph, sites, interventions: [], logits: options.logits, vocabulary: spec.vocabulary };
    const runner = await DecoderRunner.open(compiled, this.options);
    try {
      const states = runner.states(rows.ids.length, this.batch.batch);
      await runner.run(rows, this.batch.lengths, states, { given });
      return states.logits ?? states.residuals[0];
    } finally {
      await runner.close();
    }
  }
}

/** The distinct ids, and each id's place among them. */
function compact(ids: Int32Array): [number[], Int32Array] {
  const distinct = [...new Set(ids)];
  const place = new Map(distinct.map((id, i) => [id, i]));
  return [distinct, ids.map((id) => place.get(id)!)];
}
