import type { Parameter } from './parameters.js';
import type { DecoderSpec } from './spec.js';

/** What a family's file finds in a checkpoint: what the decoder computes, and which tensor plays which part. */
export interface DecoderMapping {
  readonly family: string;
  readonly spec: DecoderSpec;
  /** Where each parameter that the spec asks for is: the name of a tensor, `{L}` standing for the layer, or part of one. */
  readonly tensors: { readonly [P in Parameter]?: string | TensorPart | undefined };
  /** Whether the rows of query and key are stored for interleaved rotary (`rotaryOrder`). */
  readonly interleavedRotary: boolean;
  /** What is added to the stored weights of every norm: 1 where a file holds their distance from 1. */
  readonly normOffset: number;
}

/** A parameter that is not a tensor as it stands. */
export interface TensorPart {
  /** Name of the tensor; `{L}` stands for the layer. */
  readonly tensor: string;
  /** It is stored as [inputs, outputs]. */
  readonly transposed?: boolean;
  /** Of queries, keys and values stacked by rows the part with this index, in each head or in the whole. */
  readonly stacked?: { readonly index: 0 | 1 | 2; readonly by: 'head' | 'whole' };
}
