import type { InterventionShape } from './intervention.js';
import type { Precision } from './precision.js';
import type { RotaryFrequencies } from './rotary.js';
import type { Sight } from './sight.js';

/** Of which tokens a run gives the logits: of each text's last one, or of every row. */
export type LogitsOf = 'last' | 'all';

/**
 * A decoder graph on disk, as plain data: it can be sent to another thread, which opens it with `DecoderSession.open`, or with
 * `DecodingSession.open` if it has a cache. Graphs of one model lie in one directory and share its weights.
 */
export interface CompiledDecoder {
  /** Path of the .onnx file; its weights lie beside it. */
  readonly graph: string;
  /** The tapped sites by name, `blocks.{L}.hook_resid_post` and the like, in the order in which a run returns them. */
  readonly sites: readonly string[];
  /** The site whose states a run is given, by name; null: none. With a cache, only blocks beyond it have one. */
  readonly given: string | null;
  /** The interventions whose numbers a run may be given, in their order. */
  readonly interventions: readonly InterventionShape[];
  /** Whose logits a run returns; null: nobody's. */
  readonly logits: LogitsOf | null;
  /** The tokens that logits are of; null: the whole vocabulary. */
  readonly logitTokens: readonly number[] | null;
  /** Of its weights. */
  readonly precision: Precision;
  /** Width of a state. */
  readonly hidden: number;
  readonly vocabulary: number;
  /** Longest text in tokens. */
  readonly context: number;
  /** Its rotary positions by name. */
  readonly ropes: Readonly<Record<string, RotaryFrequencies>>;
  /** What is kept of earlier tokens; null: a run begins every text anew. */
  readonly cache: CacheShape | null;
  /** What its blocks see of earlier tokens, each kind once. */
  readonly sights: readonly Sight[];
}

export interface CacheShape {
  readonly layers: number;
  /** Heads of keys, as many of values. */
  readonly heads: number;
  /** Elements of a head in the graph. */
  readonly width: number;
  /** Heads of queries: attention has so many scores of every pair of tokens. */
  readonly queries: number;
}
