import { GraphBuilder, type StoredTensor, type Value } from '../../graph/builder.js';
import type { Graph } from '../../graph/onnx.js';
import type { ChangeValues } from '../../model/change-graph.js';
import { decode, logitsOf } from '../../model/decoder-graph.js';
import { DecoderParts } from '../../model/decoder-parts.js';
import type { InterventionShape } from '../../model/intervention.js';
import type { DecoderSpec } from '../../model/spec.js';
import { StandardInputs } from './standard-inputs.js';

/** Name of the graph's input with the strength, where it is one. */
export const STRENGTH = 'strength';

/** The name under which an intervention's tensor is stored. */
export function changeTensor(intervention: number, name: string): string {
  return `interventions.${intervention}.${name}`;
}

export interface OnnxGraphOptions {
  interventions: readonly InterventionShape[];
  /** Of all interventions; null: an input. */
  strength: number | null;
  /** The file with the weights, rotary tables and interventions' tensors. */
  weights: { file: string; tensors: Readonly<Record<string, StoredTensor>> };
}

/**
 * A decoder's graph as optimum lays it out. Inputs: int64 `input_ids` and `position_ids` [batch, length], `attention_mask`
 * [batch, past + length], 0 where there is padding; float32 `past_key_values.{layer}.key` and `.value`
 * [batch, kvHeads, past, headWidth]; where the strength is one, `strength` [1]. Outputs: `logits` [batch, length, vocabulary];
 * `present.{layer}.key` and `.value`, of earlier tokens and these.
 */
export function onnxGraph(spec: DecoderSpec, { interventions, strength, weights }: OnnxGraphOptions): Graph {
  const g = new GraphBuilder();
  const stored = (name: string) => g.stored(name, weights.file, weights.tensors[name]);
  const inputs = new StandardInputs(g, spec.attention, stored);
  const parts = new DecoderParts(g, spec, weights, inputs);
  const given = strength === null ? g.input(STRENGTH, 'float32', [1]) : g.constant(Float32Array.of(strength), [1]);
  const strengths = inputs.strengths(given);
  const valuesOf =
    (i: number): ChangeValues =>
    (name) =>
      name === 'strength' ? strengths : stored(changeTensor(i, name));
  const { normed, present } = decode(parts, {
    depth: spec.layers,
    cache: true,
    interventions: interventions.map((shape, i) => ({ shape, values: () => valuesOf(i) })),
  });
  g.output(inputs.byText(logitsOf(parts, normed)), 'logits');
  for (const [layer, { keys, values }] of present.entries()) {
    const past = inputs.past(layer);
    g.output(after(g, past.keys, keys), `present.${layer}.key`);
    g.output(after(g, past.values, values), `present.${layer}.value`);
  }
  return g.build('decoder');
}

/** What a layer keeps of new tokens after what it kept of earlier ones, [batch, kvHeads, tokens, headWidth]. */
function after(g: GraphBuilder, past: Value, present: Value): Value {
  const [batch, heads, , width] = past.shape;
  const shape = [batch, heads, 'total_sequence_length', width];
  return g.node('Concat', [past, present], [{ type: 'float32', shape }], { axis: { int: 2 } })[0];
}
