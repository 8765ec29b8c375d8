import type { DecoderSpec } from './spec.js';

/**
 * cos and sin of the rotary angles position * theta^(-2 i / headDim), each [context, headDim / 2]; angles in fp64, since those of
 * late positions are large.
 */
export function rotaryTables({ context, attention, rope }: DecoderSpec): { cos: Float32Array; sin: Float32Array } {
  const half = attention.headDim / 2;
  const cos = new Float32Array(context * half);
  const sin = new Float32Array(context * half);
  for (let i = 0; i < half; i++) {
    const frequency = rope.theta ** (-i / half);
    for (let position = 0; position < context; position++) {
      cos[position * half + i] = Math.cos(position * frequency);
      sin[position * half + i] = Math.sin(position * frequency);
    }
  }
  return { cos, sin };
}

/**
 * Rows of a query or key projection (or its bias) as transformers orders them. Some files store the two halves of each head
 * interleaved, because their attention rotates neighbours: row 2 i + h there is row h headDim / 2 + i here.
 */
export function undoInterleavedRotary(stored: Float32Array, rows: number, headDim: number): Float32Array {
  const width = stored.length / rows;
  const half = headDim / 2;
  const out = new Float32Array(stored.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim;
    const from = row - inHead + 2 * (inHead % half) + Math.floor(inHead / half);
    out.set(stored.subarray(from * width, (from + 1) * width), row * width);
  }
  return out;
}
