import type { GraphBuilder, Value } from '../graph/builder.js';
import type { KeysAndValues } from '../graph/cached-attention.js';
import { gather, reshape } from '../graph/operators.js';
import { headWidth } from './heads.js';
import { type Sight, sightName } from './sight.js';
import type { DecoderSpec } from './spec.js';

/** What a decoder's graph knows of the tokens of a run. All but attention runs on rows; which tokens these are is up to the inputs. */
export interface DecoderInputs {
  /** Token of each row, [rows]. */
  readonly ids: Value;
  /** Of each row's token in its text, [rows]. */
  readonly positions: Value;
  /** Index of each text's last token, [batch], and length of the padded batch, [1]; only where there is nothing of earlier tokens. */
  readonly last?: Value;
  readonly length?: Value;
  /** cos and sin of the angles of these rotary positions, [positions, headWidth / 2]. */
  rotary(rope: string): { cos: Value; sin: Value };
  /** What makes tokens see this of earlier and new ones: `sightBias`. */
  bias(sight: Sight): Value;
  /** Keys and values of earlier tokens in this layer. */
  past(layer: number): KeysAndValues;
  /** Attention must know which row belongs to which text: x [rows, ...] as [batch, length, ...]. */
  byText(x: Value): Value;
  /** x [batch, length, width] as [rows, width]. */
  flat(x: Value): Value;
}

/** The inputs that a `DecoderRunner` feeds: a row for each distinct beginning of a text. */
export class RowInputs implements DecoderInputs {
  readonly ids: Value;
  readonly positions: Value;
  readonly last: Value;
  readonly length: Value;
  private readonly place: Value;
  private readonly first: Value;
  private readonly inputs = new Map<string, Value>();

  constructor(
    private readonly g: GraphBuilder,
    private readonly attention: DecoderSpec['attention'],
  ) {
    this.ids = g.input('ids', 'int32', ['rows']);
    this.place = g.input('place', 'int32', ['batch', 'length']);
    this.first = g.input('first', 'int32', ['rows']);
    this.last = g.input('last', 'int32', ['batch']);
    this.length = g.input('length', 'int32', [1]);
    this.positions = g.input('position', 'int32', ['rows']);
  }

  rotary(rope: string): { cos: Value; sin: Value } {
    const shape = ['positions', headWidth(this.attention) / 2];
    return { cos: this.input(`rotary.${rope}.cos`, shape), sin: this.input(`rotary.${rope}.sin`, shape) };
  }

  bias(sight: Sight): Value {
    return this.input(sightName(sight), ['batch', 1, 'length', 'seen']);
  }

  past(layer: number): KeysAndValues {
    const shape = ['batch', this.attention.kvHeads, 'room', headWidth(this.attention)];
    return { keys: this.input(`past.${layer}.keys`, shape), values: this.input(`past.${layer}.values`, shape) };
  }

  byText(x: Value): Value {
    return gather(this.g, x, this.place);
  }

  flat(x: Value): Value {
    const width = x.shape.at(-1) as number;
    const tokens = reshape(this.g, x, this.g.constant(BigInt64Array.of(-1n, BigInt(width)), [2]), ['tokens', width]);
    return gather(this.g, tokens, this.first);
  }

  /** An input of the graph; the same name twice is the same input. */
  private input(name: string, shape: Value['shape']): Value {
    const found = this.inputs.get(name) ?? this.g.input(name, 'float32', shape);
    this.inputs.set(name, found);
    return found;
  }
}
