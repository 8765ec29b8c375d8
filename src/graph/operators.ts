/**
 * @file The operators our graphs are made of. Each checks the shapes it is given and knows the shape it gives, so that a wrong
 * graph fails where it is built. A wrong shape is a defect of the caller and throws a plain RangeError.
 */
import type { GraphBuilder, Value } from './builder.js';
import type { Dimension } from './onnx.js';

/** Rows of a table [rows, ...] by index. */
export function gather(g: GraphBuilder, table: Value, indices: Value): Value {
  return one(g.node('Gather', [table, indices], [{ type: table.type, shape: [...indices.shape, ...table.shape.slice(1)] }]));
}

export function add(g: GraphBuilder, a: Value, b: Value): Value {
  return elementwise(g, 'Add', a, b);
}

export function multiply(g: GraphBuilder, a: Value, b: Value): Value {
  return elementwise(g, 'Mul', a, b);
}

/** x weight^T + bias, for x [rows, k], weight [n, k] and bias [n], the way checkpoints store them. */
export function linear(g: GraphBuilder, x: Value, weight: Value, bias?: Value): Value {
  const [rows, k] = x.shape;
  const [n, width] = weight.shape;
  if (x.shape.length !== 2 || weight.shape.length !== 2 || k !== width) throw wrong('linear', x, weight);
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== n)) throw wrong('linear', weight, bias);
  return one(
    g.node('Gemm', bias ? [x, weight, bias] : [x, weight], [{ type: 'float32', shape: [rows, n] }], { transB: { int: 1 } }),
  );
}

/** x / sqrt(mean(x^2) + epsilon) * weight along the last axis. */
export function rmsNorm(g: GraphBuilder, x: Value, weight: Value, epsilon: number): Value {
  if (x.shape.at(-1) !== weight.shape[0]) throw wrong('rmsNorm', x, weight);
  return one(
    g.node('SimplifiedLayerNormalization', [x, weight], [x], {
      axis: { int: -1 },
      epsilon: { float: epsilon },
      stash_type: { int: 1 },
    }),
  );
}

/** The sum of two streams, and its rmsNorm, in one pass over memory. */
export function addThenRmsNorm(
  g: GraphBuilder,
  a: Value,
  b: Value,
  weight: Value,
  epsilon: number,
): { sum: Value; normed: Value } {
  if (!sameShape(a, b) || a.shape.at(-1) !== weight.shape[0]) throw wrong('addThenRmsNorm', a, b, weight);
  const [normed, , , sum] = g.node(
    'SkipSimplifiedLayerNormalization',
    [a, b, weight],
    [a, undefined, undefined, a],
    { epsilon: { float: epsilon } },
    'com.microsoft',
  );
  return { sum, normed };
}

/** x * sigmoid(x). */
export function silu(g: GraphBuilder, x: Value): Value {
  return one(g.node('QuickGelu', [x], [x], { alpha: { float: 1 } }, 'com.microsoft'));
}

/** The same elements in another shape, whose lengths are given by the int64 vector `lengths`. */
export function reshape(g: GraphBuilder, x: Value, lengths: Value, shape: readonly Dimension[]): Value {
  if (lengths.type !== 'int64' || lengths.shape[0] !== shape.length) throw wrong('reshape', x, lengths);
  return one(g.node('Reshape', [x, lengths], [{ type: x.type, shape }]));
}

/** The lengths of x as an int64 vector. */
export function shapeOf(g: GraphBuilder, x: Value): Value {
  return one(g.node('Shape', [x], [{ type: 'int64', shape: [x.shape.length] }]));
}

/** Vectors end to end. */
export function concatenate(g: GraphBuilder, parts: readonly Value[]): Value {
  let length = 0;
  for (const { shape } of parts) {
    if (shape.length !== 1 || typeof shape[0] !== 'number') throw wrong('concatenate', ...parts);
    length += shape[0];
  }
  return one(g.node('Concat', parts, [{ type: parts[0].type, shape: [length] }], { axis: { int: 0 } }));
}

export interface AttentionOptions {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
  /** Index of each text's last token, int32 [batch]. Later keys are never read. */
  last: Value;
  /** Length of the padded batch, int32 [1]. */
  length: Value;
  /** cos and sin of every position's angles, [positions, headDim / 2]; the halves of a head are rotated against each other. */
  rotary: { cos: Value; sin: Value };
}

/**
 * Causal attention with rotary positions, several query heads to a key head.
 * @param qkv [batch, length, (heads + 2 kvHeads) headDim]: queries, keys, values
 * @returns [batch, length, heads headDim]
 */
export function causalAttention(g: GraphBuilder, qkv: Value, options: AttentionOptions): Value {
  const { heads, kvHeads, headDim, scale, last, length, rotary } = options;
  const [batch, positions, width] = qkv.shape;
  if (qkv.shape.length !== 3 || width !== (heads + 2 * kvHeads) * headDim || heads % kvHeads !== 0)
    throw wrong(`attention of ${heads}/${kvHeads} heads of ${headDim}`, qkv);
  if (headDim % 16 !== 0) throw new RangeError(`rotary attention with heads of ${headDim}: onnxruntime takes multiples of 16`);
  if (rotary.cos.shape[1] !== headDim / 2 || !sameShape(rotary.cos, rotary.sin)) throw wrong('attention', rotary.cos, rotary.sin);
  const cache = { type: 'float32', shape: [batch, kvHeads, positions, headDim] } as const;
  const [out] = g.node(
    'GroupQueryAttention',
    [qkv, undefined, undefined, undefined, undefined, last, length, rotary.cos, rotary.sin],
    [{ type: 'float32', shape: [batch, positions, heads * headDim] }, cache, cache],
    { num_heads: { int: heads }, kv_num_heads: { int: kvHeads }, do_rotary: { int: 1 }, scale: { float: scale } },
    'com.microsoft',
  );
  return out;
}

function elementwise(g: GraphBuilder, operator: string, a: Value, b: Value): Value {
  if (!sameShape(a, b)) throw wrong(operator, a, b);
  return one(g.node(operator, [a, b], [a]));
}

function one(values: Value[]): Value {
  return values[0];
}

function sameShape(a: Value, b: Value): boolean {
  return a.shape.length === b.shape.length && a.shape.every((length, axis) => length === b.shape[axis]);
}

function wrong(operator: string, ...values: Value[]): RangeError {
  return new RangeError(`${operator} of ${values.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(' and ')}`);
}
