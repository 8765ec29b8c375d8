import type { Intervention } from './intervention.js';

/** What a run does to the states of a decoder that was compiled with interventions. */
export interface Steering {
  /** Of the shapes compiled, in their order. */
  readonly interventions: readonly Intervention[];
  /** Of all texts, or one a text. At 0 nothing is changed. */
  readonly strength: number | Float32Array;
}
