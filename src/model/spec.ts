/**
 * What a decoder computes, as plain data: with the weights it fixes every number. A family's file maps a checkpoint's
 * configuration to a spec; `decoder-graph.ts` turns any spec into a graph.
 */
export interface DecoderSpec {
  /** Number of blocks. */
  readonly layers: number;
  /** Width of the residual stream. */
  readonly hidden: number;
  readonly vocabulary: number;
  /** Longest text in tokens. */
  readonly context: number;
  readonly norm: { readonly kind: 'rms'; readonly epsilon: number };
  readonly attention: {
    readonly heads: number;
    readonly kvHeads: number;
    readonly headDim: number;
    /** Factor of the scores, usually headDim ** -0.5. */
    readonly scale: number;
    /** Biases of the query, key and value projections. */
    readonly qkvBias: boolean;
    /** Bias of the output projection. */
    readonly outputBias: boolean;
  };
  /** Rotary positions over the halves of a head. */
  readonly rope: { readonly theta: number };
  /** down(activation(gate(x)) * up(x)) */
  readonly mlp: { readonly width: number; readonly activation: 'silu'; readonly bias: boolean };
  /** Whether the logits use the embedding itself. */
  readonly tiedEmbedding: boolean;
}
