import { BATCH_ROWS, byBeginning, cutIntoBatches, padBatch, tokenise } from '../activations/batches.js';
import type { ActivationDirectory } from '../activations/directory.js';
import { fillTemplate } from '../activations/template.js';
import type { Tokenizer } from '../checkpoint/tokenizer.js';
import { throwIfCancelled } from '../errors.js';
import type { LanguageModel } from '../model/language-model.js';
import { requirePrecision } from '../model/precision.js';
import { formatSite } from '../model/site.js';
import { takeRows } from '../model/token-rows.js';
import type { WorkOptions } from '../progress.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import { SaeEncoder } from '../sae/encoder.js';
import { contentTokens, sinkThreshold } from '../sae/states.js';

/** A text token by token. */
export interface TextTokens {
  /** Each token as text; together they are the text. */
  tokens: string[];
  /** z of some latent at each token, 0 at sinks. */
  valuesOf(latent: number): number[];
}

/**
 * Runs texts through the model as they were captured, and encodes the state of every token that is no sink.
 * @param texts actions, which the directory's template is put around
 */
export async function tokenLatents(
  sae: SparseAutoencoder,
  model: LanguageModel,
  directory: ActivationDirectory,
  layer: number,
  texts: readonly string[],
  { threads, onProgress, signal }: WorkOptions & { threads?: number | undefined },
): Promise<TextTokens[]> {
  const { template, maxTokens, site, calibration, model: captured } = directory.details;
  const hidden = sae.spec.dIn;
  const threshold = sinkThreshold(calibration, layer);
  const filled = texts.map((text) => fillTemplate(template, text));
  const tokenised = await tokenise(filled, model.tokenizer, maxTokens, signal);
  const order = byBeginning(tokenised);
  const session = await model.session({
    sites: [formatSite({ layer, point: site })],
    precision: requirePrecision(captured.precision),
    onProgress,
    signal,
  });
  const found: TextTokens[] = new Array(texts.length);
  const encoder = await SaeEncoder.open(sae, threads, signal);
  try {
    let done = 0;
    for (const batch of cutIntoBatches(tokenised, order, BATCH_ROWS)) {
      throwIfCancelled(signal);
      onProgress?.({ task: 'highlight tokens', done, total: texts.length, unit: 'texts' });
      const padded = padBatch(tokenised, batch);
      const { residuals, place } = await session.run(padded);
      const rows: number[] = [];
      const offsets = Int32Array.from([0, ...batch]);
      batch.forEach((_, i) => {
        for (let token = 0; token < padded.lengths[i]; token++) rows.push(place[i * padded.length + token]);
        offsets[i + 1] = rows.length;
      });
      const states = takeRows(residuals[0], hidden, Int32Array.from(rows));
      const content = contentTokens(states, offsets, threshold, hidden);
      const codes = await encoder.encode(takeRows(states, hidden, content), content.length);
      batch.forEach((text, i) => {
        const ids = tokenised.ids.subarray(tokenised.offsets[text], tokenised.offsets[text + 1]);
        const [start, length] = [offsets[i], offsets[i + 1] - offsets[i]];
        found[text] = {
          tokens: tokenTexts(model.tokenizer, ids),
          valuesOf(latent) {
            const values = new Array<number>(length).fill(0);
            content.forEach((token, at) => {
              if (token < start || token >= start + length) return;
              for (let e = codes.offsets[at]; e < codes.offsets[at + 1]; e++)
                if (codes.latents[e] === latent) values[token - start] = codes.values[e];
            });
            return values;
          },
        };
      });
      done += batch.length;
    }
    onProgress?.({ task: 'highlight tokens', done, total: texts.length, unit: 'texts' });
  } finally {
    await encoder.close();
    await session.close();
  }
  return found;
}

/** Each id as the text that it adds; one that ends inside a character adds nothing, and the one that ends it adds the character. */
export function tokenTexts(tokenizer: Pick<Tokenizer, 'decode'>, ids: Int32Array): string[] {
  const texts: string[] = [];
  let known = '';
  for (let i = 0; i < ids.length; i++) {
    const text = tokenizer.decode(ids.subarray(0, i + 1));
    const whole = text.endsWith('\ufffd') && i + 1 < ids.length ? known : text;
    texts.push(whole.slice(known.length));
    known = whole;
  }
  return texts;
}
