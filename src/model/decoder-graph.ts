import { GraphBuilder, type StoredTensor, type Value } from '../graph/builder.js';
import type { Graph } from '../graph/onnx.js';
import {
  add,
  addFirstRows,
  addThenLayerNorm,
  addThenRmsNorm,
  causalAttention,
  concatenate,
  gather,
  gelu,
  geluTanh,
  layerNorm,
  linear,
  multiply,
  reshape,
  rmsNorm,
  scale,
  shapeOf,
  silu,
  softCap,
  splitColumns,
} from '../graph/operators.js';
import { formatSite, type Site } from './site.js';
import type { Activation, BlockSpec, DecoderSpec } from './spec.js';

export interface DecoderGraphOptions {
  sites: readonly Site[];
  /** Also the logits after the last token of each text. */
  logits: boolean;
  /**
   * Name of the weights file, which lies beside the graph, and what it holds: `decoderWeights`, and `rotary.{rope}.cos` and `.sin`
   * of every rope of the spec.
   */
  weights: { file: string; tensors: Readonly<Record<string, StoredTensor>> };
}

/**
 * The graph of a decoder with the given sites as outputs, and no more of it than these need.
 * Inputs, all int32: `ids` [batch, length], padded on the right; `last` [batch], the index of each text's last token; `length`
 * [1]; with logits `rows` [batch], the same index in the flattened batch.
 * Outputs: each site by name, [batch * length, hidden]; `logits` [batch, vocabulary].
 */
export function decoderGraph(spec: DecoderSpec, { sites, logits, weights }: DecoderGraphOptions): Graph {
  const { attention, mlp, norm } = spec;
  const { kvHeads, headDim } = attention;
  const g = new GraphBuilder();
  const stored = (name: string): Value => g.stored(name, weights.file, weights.tensors[name]);
  const project = (x: Value, name: string, bias: boolean): Value =>
    linear(g, x, stored(`${name}.weight`), bias ? stored(`${name}.bias`) : undefined);

  const ids = g.input('ids', 'int32', ['batch', 'length']);
  const last = g.input('last', 'int32', ['batch']);
  const length = g.input('length', 'int32', [1]);
  const rows = g.input('rows', 'int32', ['batch']);

  // Products run on flat rows of tokens; only attention needs to know which row belongs to which text.
  const flat = (x: Value): Value => {
    const width = x.shape.at(-1) as number;
    return reshape(g, x, g.constant(BigInt64Array.of(-1n, BigInt(width)), [2]), ['tokens', width]);
  };
  const lengths = concatenate(g, [shapeOf(g, ids), g.constant(BigInt64Array.of(-1n), [1])]);
  const byText = (x: Value): Value => reshape(g, x, lengths, ['batch', 'length', x.shape[1]]);

  const normalise = (x: Value, name: string): Value =>
    norm.kind === 'rms'
      ? rmsNorm(g, x, stored(`${name}.weight`), norm.epsilon)
      : layerNorm(g, x, stored(`${name}.weight`), stored(`${name}.bias`), norm.epsilon);
  const addThenNormalise = (a: Value, b: Value, name: string): { sum: Value; normed: Value } =>
    norm.kind === 'rms'
      ? addThenRmsNorm(g, a, b, stored(`${name}.weight`), norm.epsilon)
      : addThenLayerNorm(g, a, b, stored(`${name}.weight`), stored(`${name}.bias`), norm.epsilon);

  const heads = (x: Value): Value => reshape(g, x, g.constant(BigInt64Array.of(-1n, BigInt(headDim)), [2]), ['heads', headDim]);
  const normHeads = (x: Value, name: string): Value => {
    const normed = rmsNorm(g, heads(x), stored(name), norm.epsilon);
    return reshape(g, normed, lengths, ['batch', 'length', x.shape[1]]);
  };

  const attend = (x: Value, block: string, { rope, window }: BlockSpec): Value => {
    const qkv = project(x, `${block}.attn.qkv`, attention.qkvBias);
    const rotary = rope === null ? undefined : { cos: stored(`rotary.${rope}.cos`), sin: stored(`rotary.${rope}.sin`) };
    const options = { ...attention, last, length, rotary, window: window ?? undefined };
    let mixed: Value;
    if (attention.qkNorm) {
      const [query, key, value] = splitColumns(
        g,
        qkv,
        [attention.heads, kvHeads, kvHeads].map((n) => n * headDim),
      );
      const normed = [normHeads(query, `${block}.attn.query_norm.weight`), normHeads(key, `${block}.attn.key_norm.weight`)];
      mixed = causalAttention(g, [normed[0], normed[1], byText(value)], options);
    } else mixed = causalAttention(g, byText(qkv), options);
    const out = project(flat(mixed), `${block}.attn.output`, attention.outputBias);
    return norm.post ? normalise(out, `${block}.attn_post_norm`) : out;
  };
  const transform = (x: Value, block: string): Value => {
    const activated = activations[mlp.activation](g, project(x, `${block}.mlp.${mlp.gated ? 'gate' : 'up'}`, mlp.bias));
    const inner = mlp.gated ? multiply(g, activated, project(x, `${block}.mlp.up`, mlp.bias)) : activated;
    const out = project(inner, `${block}.mlp.down`, mlp.bias);
    return norm.post ? normalise(out, `${block}.mlp_post_norm`) : out;
  };

  const embedding = stored('embedding');
  const states = new Map<string, Value>();
  const embedded = gather(g, embedding, ids);
  let stream = flat(spec.learnedPositions ? addFirstRows(g, embedded, stored('positions'), length) : embedded);
  if (spec.embeddingScale !== undefined) stream = scale(g, stream, spec.embeddingScale);
  let normed = normalise(stream, 'blocks.0.attn_norm');
  for (let layer = 0; layer < spec.layers; layer++) {
    const block = `blocks.${layer}`;
    const next = layer + 1 < spec.layers ? `blocks.${layer + 1}.attn_norm` : 'final_norm';
    const attended = attend(normed, block, spec.blocks[layer]);
    const middle = spec.parallel
      ? { sum: add(g, stream, attended), normed: normalise(stream, `${block}.mlp_norm`) }
      : addThenNormalise(stream, attended, `${block}.mlp_norm`);
    const transformed = transform(middle.normed, block);
    const after = addThenNormalise(middle.sum, transformed, next);
    const points = { resid_pre: stream, attn_out: attended, mlp_out: transformed, resid_post: after.sum } as const;
    for (const [point, value] of Object.entries(points)) states.set(formatSite({ layer, point: point as Site['point'] }), value);
    stream = after.sum;
    normed = after.normed;
  }
  for (const site of sites) g.output(states.get(formatSite(site))!, formatSite(site));
  if (logits) {
    const plain = linear(g, gather(g, normed, rows), spec.tiedEmbedding ? embedding : stored('head'));
    g.output(spec.logitCap === undefined ? plain : softCap(g, plain, spec.logitCap), 'logits');
  }
  return g.build('decoder');
}

const activations: Readonly<Record<Activation, (g: GraphBuilder, x: Value) => Value>> = { silu, gelu, 'gelu-tanh': geluTanh };
