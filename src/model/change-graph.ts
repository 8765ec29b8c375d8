import type { GraphBuilder, Value } from '../graph/builder.js';
import type { InterventionShape } from './intervention.js';

/**
 * Where a graph has the numbers of an intervention from: by the names and shapes of `interventionTensors`, and `strength`, of each row
 * [rows, 1] or of all [1, 1], and 0 where a token's position is to be left alone.
 */
export type ChangeValues = (name: string, shape: Value['shape']) => Value;

/**
 * What an intervention adds to the states x [rows, hidden]; 0, if its numbers are finite, for sinks and where the strength is 0.
 * @param latents name of the number of latents, where it is not known yet
 */
export function changeOf(
  g: GraphBuilder,
  x: Value,
  { mode, thresholds, gate }: InterventionShape,
  values: ChangeValues,
  latents: string,
): Value {
  const [rows, hidden] = x.shape;
  const node = (operator: string, inputs: Value[], shape: Value['shape'], attributes = {}, type: Value['type'] = 'float32') =>
    g.node(operator, inputs, [{ type, shape }], attributes)[0];
  const vector = (name: string) => values(name, [hidden]);
  const number = (value: number) => g.constant(Float32Array.of(value), []);

  const norms = node('ReduceL2', [x, g.constant(BigInt64Array.of(1n), [1])], [rows, 1], { keepdims: { int: 1 } });
  const ordinary = node('LessOrEqual', [norms, values('sink_threshold', [1])], [rows, 1], {}, 'bool');
  const strength = node('Where', [ordinary, values('strength', [rows, 1]), number(0)], [rows, 1]);
  if (mode === 'add') return node('Mul', [strength, vector('direction')], x.shape);
  if (mode === 'project') {
    const projection = node('Gemm', [x, values('w', [hidden, 1]), values('b', [1])], [rows, 1]);
    const gated = gate === 'relu' ? node('Relu', [projection], [rows, 1]) : projection;
    return node('Mul', [node('Mul', [gated, strength], [rows, 1]), vector('u')], x.shape);
  }

  const centred = node('Sub', [x, vector('centre')], x.shape);
  const activations = (name: string) => {
    const shape = [rows, latents];
    const pre = node('Gemm', [centred, values(`${name}.wEnc`, [hidden, latents]), values(`${name}.bEnc`, [latents])], shape);
    const positive = node('Relu', [pre], shape);
    if (!thresholds) return positive;
    const above = node('Greater', [pre, values(`${name}.threshold`, [latents])], shape, {}, 'bool');
    return node('Where', [above, positive, number(0)], shape);
  };
  const decoded = (name: string) => node('MatMul', [activations(name), values(`${name}.wDec`, [latents, hidden])], x.shape);
  const difference =
    mode === 'blend'
      ? node('Sub', [node('Add', [decoded('latents'), vector('bias')], x.shape), x], x.shape)
      : node('Sub', [decoded('after'), decoded('before')], x.shape);
  return node('Mul', [difference, strength], x.shape);
}
