import { MoralscopeError, throwIfCancelled } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import type { WorkOptions } from '../progress.js';
import { byBeginning, cutIntoBatches, padBatch, rowsWithLogits, type TokenisedTexts, tokenise } from './batches.js';
import { CaptureThread } from './capture-thread.js';

export interface PerplexityOptions extends WorkOptions {
  /** Of a longer text the first so many tokens are read, special tokens included. Default: 512, or the model's context. */
  maxTokens?: number | undefined;
  /** Threads of the model. Default: as many as the machine has cores. */
  threads?: number | undefined;
}

export interface Perplexity {
  /** exp of the mean negative log-likelihood of a token. */
  perplexity: number;
  /** That mean, nats. */
  nats: number;
  /** How many tokens were predicted: all but the first of each text. */
  tokens: number;
  /** Of each text, its tokens that were predicted and the sum of their negative log-likelihoods, nats. */
  texts: { nats: Float64Array; tokens: Int32Array };
  /** Number of texts that were cut. */
  truncated: number;
}

const MAX_TOKENS = 512;
/**
 * How well a model predicts texts: -log p(token | the tokens before it) of every token but a text's first, each text by itself, in
 * the format in which its tokenizer encodes it. Probabilities in double precision, of logits in the model's.
 * @throws MoralscopeError `bad-data` where there is no token to predict; what `LanguageModel.open` and `compile` throw; `cancelled`
 */
export async function perplexity(
  source: string | LanguageModel,
  texts: readonly string[],
  options: PerplexityOptions = {},
): Promise<Perplexity> {
  const { threads, onProgress, signal } = options;
  if (typeof source === 'string') {
    const model = await LanguageModel.open(source, { onProgress, signal });
    try {
      return await perplexity(model, texts, options);
    } finally {
      await model.close();
    }
  }
  const { vocabulary, context } = source.spec;
  const tokenised = await tokenise(texts, source.tokenizer, Math.min(options.maxTokens ?? MAX_TOKENS, context), signal);
  const predicted = Int32Array.from(texts, (_, text) => Math.max(0, lengthOf(tokenised, text) - 1));
  const tokens = predicted.reduce((a, b) => a + b, 0);
  if (tokens === 0)
    throw new MoralscopeError('bad-data', 'The texts hold no token to predict.', 'Give texts of two tokens or more.');
  const order = byBeginning(
    tokenised,
    Int32Array.from(texts.keys()).filter((text) => predicted[text] > 0),
  );
  const batches = cutIntoBatches(tokenised, order, rowsWithLogits(vocabulary));
  const thread = CaptureThread.start(await source.compile({ sites: [], logits: 'all', onProgress, signal }), threads);
  const nats = new Float64Array(texts.length);
  try {
    let done = 0;
    for (const batch of batches) {
      throwIfCancelled(signal);
      onProgress?.({ task: 'perplexity', done, total: order.length, unit: 'texts' });
      const reply = await thread.request<'surprisal'>({ kind: 'surprisal', batch: padBatch(tokenised, batch) });
      for (const [i, text] of batch.entries()) nats[text] = reply.nats[i];
      done += batch.length;
    }
    onProgress?.({ task: 'perplexity', done, total: order.length, unit: 'texts' });
  } finally {
    await thread.close();
  }
  const mean = nats.reduce((a, b) => a + b, 0) / tokens;
  return {
    perplexity: Math.exp(mean),
    nats: mean,
    tokens,
    texts: { nats, tokens: predicted },
    truncated: tokenised.truncated,
  };
}

function lengthOf({ offsets }: TokenisedTexts, text: number): number {
  return offsets[text + 1] - offsets[text];
}
