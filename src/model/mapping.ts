import type { Parameter } from './parameters.js';
import type { DecoderSpec } from './spec.js';

/** What a family's file finds in a checkpoint: what the decoder computes, and which tensor plays which part. */
export interface DecoderMapping {
  readonly family: string;
  readonly spec: DecoderSpec;
  /** Tensor of each parameter; `{L}` stands for the layer. */
  readonly tensors: Readonly<Record<Parameter, string>>;
  /** Whether the rows of query and key are stored for interleaved rotary (`undoInterleavedRotary`). */
  readonly interleavedRotary: boolean;
}
