import type { Value } from '../graph/builder.js';
import { cachedAttention, type KeysAndValues } from '../graph/cached-attention.js';
import { causalAttention, splitColumns } from '../graph/operators.js';
import { chunkBias, growWithPosition } from '../graph/positions.js';
import type { DecoderParts } from './decoder-parts.js';
import { headWidth } from './heads.js';
import { sightOf } from './sight.js';
import type { BlockSpec } from './spec.js';

/**
 * What the attention of a block adds to the stream, [rows, hidden], given the normed stream x [rows, hidden].
 * @param past keys and values of earlier tokens; default: texts begin anew
 * @returns with `past` also the keys and values of these tokens
 */
export function attend(
  parts: DecoderParts,
  x: Value,
  block: string,
  blockSpec: BlockSpec,
  past?: KeysAndValues,
): { attended: Value; present?: KeysAndValues } {
  const { g, inputs } = parts;
  const { attention, norm } = parts.spec;
  const { rope, window, chunk } = blockSpec;
  const projected = parts.project(x, `${block}.attn.qkv`, attention.qkvBias);
  const options = {
    ...attention,
    headDim: headWidth(attention),
    rotary: rope === null ? undefined : inputs.rotary(rope),
    sinks: attention.sinks ? parts.stored(`${block}.attn.sinks`) : undefined,
  };
  const finish = (mixed: Value) => {
    const out = parts.project(inputs.flat(mixed), `${block}.attn.output`, attention.outputBias);
    return norm.post ? parts.normalise(out, `${block}.attn_post_norm`) : out;
  };
  if (!past) {
    const [last, length] = [inputs.last!, inputs.length!];
    const bias = chunk === undefined ? undefined : chunkBias(g, length, chunk);
    const input = changesHeads(parts, rope) ? queriesKeysValues(parts, projected, block, rope) : inputs.byText(projected);
    return { attended: finish(causalAttention(g, input, { ...options, last, length, window: window ?? undefined, bias })) };
  }
  const input = queriesKeysValues(parts, projected, block, rope);
  const bias = inputs.bias(sightOf(blockSpec));
  const positions = inputs.byText(inputs.positions);
  const { mixed, ...present } = cachedAttention(g, input, { ...options, positions, past, bias });
  return { attended: finish(mixed), present };
}

/** Whether queries and keys are more than projections. */
function changesHeads({ spec }: DecoderParts, rope: string | null): boolean {
  const { qkNorm, unitHeads, temperature } = spec.attention;
  return qkNorm || (rope === null ? temperature !== undefined : (unitHeads ?? false));
}

/** Queries, keys and values by text, from their projections side by side [rows, (heads + 2 kvHeads) headWidth]. */
function queriesKeysValues(parts: DecoderParts, projected: Value, block: string, rope: string | null): [Value, Value, Value] {
  const { g, inputs } = parts;
  const { attention } = parts.spec;
  const { heads, kvHeads, qkNorm, unitHeads, temperature } = attention;
  const widths = [heads, kvHeads, kvHeads].map((n) => n * headWidth(attention));
  let [query, key, value] = splitColumns(g, projected, widths);
  if (qkNorm) {
    query = parts.normHeads(query, parts.stored(`${block}.attn.query_norm.weight`));
    key = parts.normHeads(key, parts.stored(`${block}.attn.key_norm.weight`));
  }
  if (unitHeads && rope !== null) [query, key] = [query, key].map((part) => parts.normHeads(part));
  if (temperature && rope === null) query = growWithPosition(g, query, inputs.positions, temperature);
  return [inputs.byText(query), inputs.byText(key), inputs.byText(value)];
}
