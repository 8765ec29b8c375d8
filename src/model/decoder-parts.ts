import type { GraphBuilder, StoredTensor, Value } from '../graph/builder.js';
import { addThenLayerNorm, addThenRmsNorm, layerNorm, reshape, rmsNorm } from '../graph/operators.js';
import { StoredMatrix } from '../graph/stored-matrix.js';
import type { DecoderInputs } from './decoder-inputs.js';
import { headWidth } from './heads.js';
import type { DecoderSpec } from './spec.js';

/** Where a graph's weights lie, and by which names. */
export interface GraphWeights {
  /** Name of the weights file, which lies beside the graph. */
  file: string;
  /** What it holds: `decoderWeights`. */
  tensors: Readonly<Record<string, StoredTensor>>;
}

/** What attention, MLP and the stream between them are made of: a decoder's stored weights, and the operators that use them. */
export class DecoderParts {
  constructor(
    readonly g: GraphBuilder,
    readonly spec: DecoderSpec,
    private readonly weights: GraphWeights,
    readonly inputs: DecoderInputs,
  ) {}

  stored(name: string): Value {
    return this.g.stored(name, this.weights.file, this.weights.tensors[name]);
  }

  /**
   * x `{name}.weight`^T + `{name}.bias`, for x [rows, inputs], in the precision in which the weight is stored.
   * @param before what must be there before the weight is made fp32, where it is not stored so; default: x
   */
  project(x: Value, name: string, bias: boolean, before?: Value): Value {
    return this.matrix(`${name}.weight`).product(x, bias ? `${name}.bias` : undefined, before);
  }

  /** A stored matrix in the precision in which it is stored. */
  matrix(name: string): StoredMatrix {
    return new StoredMatrix(this.g, name, this.weights.file, this.weights.tensors);
  }

  /** The spec's norm of x [rows, hidden] with the weights of this name. */
  normalise(x: Value, name: string): Value {
    const { kind, epsilon } = this.spec.norm;
    const weight = this.stored(`${name}.weight`);
    return kind === 'rms'
      ? rmsNorm(this.g, x, weight, epsilon)
      : layerNorm(this.g, x, weight, this.stored(`${name}.bias`), epsilon);
  }

  addThenNormalise(a: Value, b: Value, name: string): { sum: Value; normed: Value } {
    const { kind, epsilon } = this.spec.norm;
    const weight = this.stored(`${name}.weight`);
    return kind === 'rms'
      ? addThenRmsNorm(this.g, a, b, weight, epsilon)
      : addThenLayerNorm(this.g, a, b, weight, this.stored(`${name}.bias`), epsilon);
  }

  /** Heads side by side, x [rows, heads headWidth], each normed by itself; without a weight to a mean square of 1. */
  normHeads(x: Value, weight?: Value): Value {
    const { g, spec } = this;
    const head = headWidth(spec.attention);
    // The mean of squares is over a head's zeros too, and so by this much smaller; the stored weights make up for it.
    const share = spec.attention.headDim / head;
    const width = x.shape[1] as number;
    const lengths = (n: number) => g.constant(BigInt64Array.of(-1n, BigInt(n)), [2]);
    const heads = reshape(g, x, lengths(head), ['heads', head]);
    const one = () => g.constant(new Float32Array(head).fill(Math.sqrt(share)), [head]);
    const normed = rmsNorm(g, heads, weight ?? one(), spec.norm.epsilon * share);
    return reshape(g, normed, lengths(width), ['rows', width]);
  }
}
