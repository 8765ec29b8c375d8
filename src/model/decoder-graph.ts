import { GraphBuilder, type Value } from '../graph/builder.js';
import type { KeysAndValues } from '../graph/cached-attention.js';
import type { Graph } from '../graph/onnx.js';
import { add, gather, linear, scale, softCap } from '../graph/operators.js';
import { attend } from './attention.js';
import { type ChangeValues, changeOf } from './change-graph.js';
import type { LogitsOf } from './compiled-decoder.js';
import { RowInputs } from './decoder-inputs.js';
import { DecoderParts, type GraphWeights } from './decoder-parts.js';
import type { InterventionShape } from './intervention.js';
import { transform } from './mlp.js';
import { comesBefore, formatSite, type Site, type SitePoint } from './site.js';
import type { DecoderSpec } from './spec.js';

export interface DecoderGraphOptions {
  sites: readonly Site[];
  /** Also the logits after the last token of each text, or of every row; null: none. */
  logits: LogitsOf | null;
  /** Only the logits of these tokens; null: of the vocabulary. */
  logitTokens?: readonly number[] | null;
  /** Whether keys and values of earlier tokens go in, and those of these tokens come out. */
  cache: boolean;
  /** A site whose states are an input, in place of those that the blocks up to it would give. */
  given?: Site | undefined;
  /** Changes of states, one a site at most. Default: none. */
  interventions?: readonly GraphIntervention[] | undefined;
  weights: GraphWeights;
}

export interface GraphIntervention {
  shape: InterventionShape;
  /** Where its numbers come from. Default: they are inputs of the graph, `interventions.{i}.{name}`. */
  values?: ((g: GraphBuilder) => ChangeValues) | undefined;
}

/** The residual stream between two blocks, and its norm as the next one reads it. */
interface Stream {
  readonly sum: Value;
  readonly normed: Value;
  /** Whether both come from one kernel that adds two streams. */
  readonly added: boolean;
}

/** The first block that a graph runs: where the stream between two blocks is given, those before it are left out, unless they are tapped. */
export function firstBlock({ sites, given }: Pick<DecoderGraphOptions, 'sites' | 'given'>): number {
  if (!given || !['resid_pre', 'resid_post'].includes(given.point)) return 0;
  return sites.some((site) => comesBefore(site, given)) ? 0 : given.layer + (given.point === 'resid_post' ? 1 : 0);
}

/** One more than the last block that a graph with these outputs runs. */
export function graphDepth(spec: DecoderSpec, { sites, logits }: Pick<DecoderGraphOptions, 'sites' | 'logits'>): number {
  return logits ? spec.layers : 1 + Math.max(...sites.map(({ layer }) => layer));
}

/**
 * The graph of a decoder with the given sites as outputs, and no more of it than these need.
 * Inputs, int32: `ids`, `position`, `place` and `first` of a batch's `TokenRows`; with the last logits `read_rows` [read], the
 * rows whose logits are wanted; without a cache `last` [batch], the index of each text's last token, and `length` [1].
 * float32: with a given site `given` [rows, hidden]; `rotary.{rope}.cos` and `.sin` [positions, headWidth / 2] of each kind of rotary
 * positions (`RotaryTable`); with a cache `past.{layer}.keys` and `.values` [batch, kvHeads, room, headWidth], and the `sightBias` of
 * each kind of sight; the numbers of each intervention (`ChangeValues`).
 * Outputs: each site by name, [rows, hidden], after its intervention; `logits` [read, vocabulary], or [rows, vocabulary] of all; with a cache
 * `present.{layer}.keys` and `.values` of these tokens, [batch, kvHeads, length, headWidth]. Layers of the cache count from the first block
 * that runs.
 */
export function decoderGraph(spec: DecoderSpec, options: DecoderGraphOptions): Graph {
  const { sites, logits, logitTokens, cache, given, interventions, weights } = options;
  const g = new GraphBuilder();
  const inputs = new RowInputs(g, spec.attention);
  const parts = new DecoderParts(g, spec, weights, inputs);
  const readRows = g.input('read_rows', 'int32', ['read']);
  const states = g.input('given', 'float32', ['rows', spec.hidden]);
  const { at, normed, present } = decode(parts, {
    first: firstBlock({ sites, given }),
    depth: graphDepth(spec, { sites, logits }),
    cache,
    given: given && { site: given, states },
    interventions,
  });
  for (const [layer, keysAndValues] of present.entries())
    for (const [part, value] of Object.entries(keysAndValues)) g.output(value, `present.${layer}.${part}`);
  for (const site of sites) g.output(at.get(formatSite(site))!, formatSite(site));
  if (logits) g.output(logitsOf(parts, logits === 'last' ? gather(g, normed, readRows) : normed, logitTokens), 'logits');
  return g.build('decoder');
}

export interface DecodeOptions extends Pick<DecoderGraphOptions, 'cache' | 'interventions'> {
  /** The first block that runs. Default: 0. */
  first?: number;
  /** One more than the last. */
  depth: number;
  /** States [rows, hidden] in place of those that the blocks up to this site would give. */
  given?: { site: Site; states: Value } | undefined;
}

/** The states of a run's tokens: the way from embedding through blocks. */
export interface Decoded {
  /** By site, [rows, hidden], after its intervention. */
  at: ReadonlyMap<string, Value>;
  /** What leaves the last block, as the next one or the head reads it, [rows, hidden]. */
  normed: Value;
  /** With a cache, of these tokens in each block. */
  present: readonly KeysAndValues[];
}

/** Adds a decoder's blocks to a graph, whatever its inputs are. */
export function decode(parts: DecoderParts, { first = 0, depth, cache, given, interventions = [] }: DecodeOptions): Decoded {
  const { g, spec, inputs } = parts;
  const isGiven = (layer: number, point: SitePoint) => given?.site.layer === layer && given.site.point === point;
  /** What is added to the states of a site, if anything. */
  const changeAt = (layer: number, point: SitePoint, x: Value): Value | undefined => {
    const i = interventions.findIndex(({ shape }) => shape.site === formatSite({ layer, point }));
    if (i < 0) return undefined;
    const { shape, values } = interventions[i];
    const asInputs: ChangeValues = (name, lengths) => g.input(`interventions.${i}.${name}`, 'float32', lengths);
    return changeOf(g, x, shape, values?.(g) ?? asInputs, `latents.${i}`);
  };
  /** What attention or MLP adds to the stream, as it leaves this site. */
  const outAt = (layer: number, point: SitePoint, x: Value): Value => {
    const out = isGiven(layer, point) ? given!.states : x;
    const change = changeAt(layer, point, out);
    return change ? add(g, out, change) : out;
  };
  const alone = (sum: Value, norm: string): Stream => ({ sum, normed: parts.normalise(sum, norm), added: false });
  const together = (a: Value, b: Value, norm: string): Stream => ({ ...parts.addThenNormalise(a, b, norm), added: true });
  /** The stream as it leaves this site. */
  const streamAt = (layer: number, point: SitePoint, stream: Stream, norm: string): Stream => {
    const out = isGiven(layer, point) ? alone(given!.states, norm) : stream;
    const change = changeAt(layer, point, out.sum);
    if (!change) return out;
    // Normed as it would be without the change, so that a change of 0 changes no bit.
    return out.added ? together(out.sum, change, norm) : alone(add(g, out.sum, change), norm);
  };

  let embedded = parts.matrix('embedding').rowsAt(inputs.ids);
  if (spec.learnedPositions) embedded = add(g, embedded, gather(g, parts.stored('positions'), inputs.positions));
  if (spec.embeddingScale !== undefined) embedded = scale(g, embedded, spec.embeddingScale);
  const normAfter = (layer: number) => (layer + 1 < spec.layers ? `blocks.${layer + 1}.attn_norm` : 'final_norm');
  let stream = alone(embedded, 'blocks.0.attn_norm');
  const at = new Map<string, Value>();
  const presents: KeysAndValues[] = [];
  if (first > 0 && given?.site.point === 'resid_post') {
    const { site } = given;
    stream = streamAt(site.layer, site.point, stream, normAfter(site.layer));
    at.set(formatSite(site), stream.sum);
  }
  for (let layer = first; layer < depth; layer++) {
    const block = `blocks.${layer}`;
    const before = streamAt(layer, 'resid_pre', stream, `${block}.attn_norm`);
    const next = normAfter(layer);
    const past = cache ? inputs.past(layer - first) : undefined;
    const { attended: mixed, present } = attend(parts, before.normed, block, spec.blocks[layer], past);
    if (present) presents.push(present);
    const attended = outAt(layer, 'attn_out', mixed);
    const middle = spec.parallel
      ? { sum: add(g, before.sum, attended), normed: parts.normalise(before.sum, `${block}.mlp_norm`) }
      : parts.addThenNormalise(before.sum, attended, `${block}.mlp_norm`);
    const transformed = outAt(layer, 'mlp_out', transform(parts, middle.normed, block, spec.blocks[layer]));
    stream = streamAt(layer, 'resid_post', together(middle.sum, transformed, next), next);
    const points = { resid_pre: before.sum, attn_out: attended, mlp_out: transformed, resid_post: stream.sum } as const;
    for (const [point, value] of Object.entries(points)) at.set(formatSite({ layer, point: point as SitePoint }), value);
  }
  return { at, normed: stream.normed, present: presents };
}

/** What the head makes of normed states x [rows, hidden]: [rows, vocabulary], or [rows, tokens] of some tokens. */
export function logitsOf(parts: DecoderParts, x: Value, tokens?: readonly number[] | null): Value {
  const { g, spec } = parts;
  const head = parts.matrix(spec.tiedEmbedding ? 'embedding' : 'head');
  const plain = tokens
    ? linear(g, x, head.rowsAt(g.constant(BigInt64Array.from(tokens, BigInt), [tokens.length])))
    : head.product(x);
  return spec.logitCap === undefined ? plain : softCap(g, plain, spec.logitCap);
}
