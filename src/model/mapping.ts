import type { Parameter } from './parameters.js';
import type { DecoderSpec } from './spec.js';

/** What a family's file finds in a checkpoint: what the decoder computes, and which tensor plays which part. */
export interface DecoderMapping {
  readonly family: string;
  readonly spec: DecoderSpec;
  /** Tensor of each parameter; `{L}` stands for the layer. Those that the spec does not ask for need not be there. */
  readonly tensors: Readonly<Record<Parameter, string>>;
  /** Whether the rows of query and key are stored for interleaved rotary (`undoInterleavedRotary`). */
  readonly interleavedRotary: boolean;
  /** What is added to the stored weights of every norm: 1 where a file holds their distance from 1. */
  readonly normOffset: number;
}
