import type { LanguageModel } from '../model/language-model.js';
import type { Precision } from '../model/precision.js';
import { formatSite } from '../model/site.js';
import type { WorkOptions } from '../progress.js';

/** What `logitLens` computes, in words for the reader. */
export const LENS =
  "The decoder row through the model's final norm (which gives it unit root mean square, then a gain) and unembedding (the embedding itself " +
  'where the two are tied): half the difference of the logits of the row and of its negative, which leaves no bias of norm or head, minus their mean over the vocabulary.';

/** Root mean square of what goes into the norm: so long that its epsilon plays no part. */
const LENGTH = 1000;
/** Logits of one run. */
const MOST_LOGITS = 1 << 25;

export interface LensToken {
  token: string;
  value: number;
}

/**
 * The tokens that each direction of the stream makes most and least likely, read by the model's own head (`LENS`). Where the model caps
 * its logits the cap is in the values and leaves their order.
 * @param directions [n, hidden]
 * @param count tokens of either sense
 */
export async function logitLens(
  model: LanguageModel,
  directions: Float32Array,
  count: number,
  { precision, onProgress, signal }: WorkOptions & { precision: Precision },
): Promise<{ positive: LensToken[]; negative: LensToken[] }[]> {
  const { layers, hidden, vocabulary, context } = model.spec;
  const n = directions.length / hidden;
  const last = formatSite({ layer: layers - 1, point: 'resid_post' });
  const session = await model.session({ sites: [], logits: 'all', given: last, precision, onProgress, signal });
  const known = Math.min(vocabulary, model.tokenizer.vocabularySize);
  const found: { positive: LensToken[]; negative: LensToken[] }[] = [];
  try {
    const together = Math.max(1, Math.min(Math.floor(context / 2), Math.floor(MOST_LOGITS / vocabulary / 2)));
    for (let from = 0; from < n; from += together) {
      onProgress?.({ task: 'logit lens', done: from, total: n, unit: 'rows' });
      const rows = Math.min(together, n - from);
      const given = new Float32Array(2 * rows * hidden);
      for (let i = 0; i < rows; i++) {
        const direction = directions.subarray((from + i) * hidden, (from + i + 1) * hidden);
        const norm = Math.hypot(...direction);
        const scale = norm > 0 ? (LENGTH * Math.sqrt(hidden)) / norm : 0;
        for (let c = 0; c < hidden; c++) {
          given[2 * i * hidden + c] = direction[c] * scale;
          given[(2 * i + 1) * hidden + c] = -direction[c] * scale;
        }
      }
      // A text has a row for each of its tokens, whatever they are: their states are the given ones.
      const length = 2 * rows;
      const batch = { ids: new Int32Array(length), lengths: Int32Array.of(length), batch: 1, length };
      const logits = (await session.run(batch, { given })).logits!;
      for (let i = 0; i < rows; i++) {
        const at = 2 * i * vocabulary;
        const odd = new Float64Array(vocabulary);
        for (let v = 0; v < vocabulary; v++) odd[v] = (logits[at + v] - logits[at + vocabulary + v]) / 2;
        found.push(extremes(odd, known, count, (id) => model.tokenizer.decode([id])));
      }
    }
    onProgress?.({ task: 'logit lens', done: n, total: n, unit: 'rows' });
  } finally {
    await session.close();
  }
  return found;
}

/** @param known ids that the tokenizer has; a head may have rows beyond them */
function extremes(values: Float64Array, known: number, count: number, nameOf: (id: number) => string) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const order = [...values.subarray(0, known).keys()].sort((a, b) => values[b] - values[a] || a - b);
  const tokens = (ids: number[]) => ids.map((id) => ({ token: nameOf(id), value: values[id] - mean }));
  return { positive: tokens(order.slice(0, count)), negative: tokens(order.slice(-count).reverse()) };
}
