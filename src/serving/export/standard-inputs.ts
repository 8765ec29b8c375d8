import type { GraphBuilder, Value } from '../../graph/builder.js';
import type { KeysAndValues } from '../../graph/cached-attention.js';
import { reshape } from '../../graph/operators.js';
import type { DecoderInputs } from '../../model/decoder-inputs.js';
import { headWidth } from '../../model/heads.js';
import { type Sight, sightName, UNSEEN } from '../../model/sight.js';
import type { DecoderSpec } from '../../model/spec.js';

const [BATCH, LENGTH, TOTAL] = ['batch_size', 'sequence_length', 'total_sequence_length'];

/** A stored tensor of the graph, by name. */
export type Stored = (name: string) => Value;

/** Names of the tensors with the angles of rotary positions. */
export function rotaryNames(rope: string): { cos: string; sin: string } {
  return { cos: `rotary.${rope}.cos`, sin: `rotary.${rope}.sin` };
}

/**
 * The inputs that optimum and transformers.js give a decoder, and what ours makes of them: a row for each token, those of the padding
 * too. Which tokens there are, and where in its text each stands, is what `attention_mask` says; `position_ids` are for rotary and learned
 * positions alone, since some callers count them from 1.
 */
export class StandardInputs implements DecoderInputs {
  readonly ids: Value;
  readonly positions: Value;
  private readonly shape: Value;
  /** Whether a token is none of the padding, and how many of its text are before it: of all tokens, [batch, total]. */
  private readonly seen: Value;
  private readonly places: Value;
  /** The latter of new tokens, [batch, length]. */
  private readonly newPlaces: Value;
  private readonly biases = new Map<string, Value>();
  private readonly pasts: KeysAndValues[] = [];

  constructor(
    private readonly g: GraphBuilder,
    private readonly attention: DecoderSpec['attention'],
    private readonly stored: Stored,
  ) {
    const inputIds = g.input('input_ids', 'int64', [BATCH, LENGTH]);
    const mask = g.input('attention_mask', 'int64', [BATCH, TOTAL]);
    const positionIds = g.input('position_ids', 'int64', [BATCH, LENGTH]);
    this.shape = this.node('Shape', [inputIds], [2], 'int64');
    this.ids = this.asRows(inputIds);
    this.positions = this.asRows(positionIds);
    this.seen = this.node('Greater', [mask, this.number(0)], mask.shape, 'bool');
    const count = this.node('CumSum', [mask, this.number(1)], mask.shape, 'int64');
    this.places = this.node('Sub', [count, this.number(1)], mask.shape, 'int64');
    const [length] = g.node('Shape', [inputIds], [{ type: 'int64', shape: [1] }], { start: { int: 1 }, end: { int: 2 } });
    const first = this.node('Neg', [length], [1], 'int64');
    const end = this.lengths(Number.MAX_SAFE_INTEGER);
    this.newPlaces = this.node('Slice', [this.places, first, end, this.lengths(1)], [BATCH, LENGTH], 'int64');
  }

  rotary(rope: string): { cos: Value; sin: Value } {
    const { cos, sin } = rotaryNames(rope);
    return { cos: this.stored(cos), sin: this.stored(sin) };
  }

  bias(sight: Sight): Value {
    const found = this.biases.get(sightName(sight)) ?? this.makeBias(sight);
    this.biases.set(sightName(sight), found);
    return found;
  }

  past(layer: number): KeysAndValues {
    const shape = [BATCH, this.attention.kvHeads, 'past_sequence_length', headWidth(this.attention)];
    const input = (part: string) => this.g.input(`past_key_values.${layer}.${part}`, 'float32', shape);
    this.pasts[layer] ??= { keys: input('key'), values: input('value') };
    return this.pasts[layer];
  }

  byText(x: Value): Value {
    const rest = x.shape.slice(1);
    const lengths = rest.length === 0 ? this.shape : this.join(this.shape, this.lengths(...(rest as number[])));
    return reshape(this.g, x, lengths, [BATCH, LENGTH, ...rest]);
  }

  flat(x: Value): Value {
    const width = x.shape.at(-1) as number;
    return reshape(this.g, x, this.lengths(-1, width), ['rows', width]);
  }

  /** The strength [1] of each row, [rows, 1]; 0 for texts' first tokens, and for padding. */
  strengths(strength: Value): Value {
    const meant = this.node('Greater', [this.newPlaces, this.number(0)], [BATCH, LENGTH], 'bool');
    const none = this.g.constant(Float32Array.of(0), []);
    const each = this.node('Where', [meant, strength, none], [BATCH, LENGTH], 'float32');
    return reshape(this.g, each, this.lengths(-1, 1), ['rows', 1]);
  }

  private makeBias({ window, chunk }: Sight): Value {
    const seen = [BATCH, 1, LENGTH, TOTAL];
    const along = (x: Value, ...axes: number[]) =>
      this.g.node('Unsqueeze', [x, this.lengths(...axes)], [{ type: x.type, shape: seen }])[0];
    const [from, to] = [along(this.newPlaces, 1, 3), along(this.places, 1, 2)];
    const compare = (operator: string, a: Value, b: Value) => this.node(operator, [a, b], seen, 'bool');
    const conditions = [along(this.seen, 1, 2), compare('LessOrEqual', to, from)];
    if (window !== null) {
      const distance = this.node('Sub', [from, to], seen, 'int64');
      conditions.push(compare('Less', distance, this.number(window)));
    }
    if (chunk !== null) {
      const chunkOf = (x: Value) => this.node('Div', [x, this.number(chunk)], seen, 'int64');
      conditions.push(compare('Equal', chunkOf(from), chunkOf(to)));
    }
    const visible = conditions.reduce((a, b) => compare('And', a, b));
    const [shown, hidden] = [0, UNSEEN].map((value) => this.g.constant(Float32Array.of(value), []));
    return this.node('Where', [visible, shown, hidden], seen, 'float32');
  }

  /** x [batch, length] as [rows]. */
  private asRows(x: Value): Value {
    return reshape(this.g, x, this.lengths(-1), ['rows']);
  }

  private join(a: Value, b: Value): Value {
    return this.g.node('Concat', [a, b], [{ type: 'int64', shape: [2 + (b.shape[0] as number)] }], { axis: { int: 0 } })[0];
  }

  private lengths(...numbers: number[]): Value {
    return this.g.constant(BigInt64Array.from(numbers, BigInt), [numbers.length]);
  }

  private number(value: number): Value {
    return this.g.constant(BigInt64Array.of(BigInt(value)), []);
  }

  private node(operator: string, inputs: Value[], shape: Value['shape'], type: Value['type']): Value {
    return this.g.node(operator, inputs, [{ type, shape }])[0];
  }
}
