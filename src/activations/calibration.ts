import type { Tokenizer } from '../checkpoint/tokenizer.js';
import { MoralscopeError } from '../errors.js';
import type { Site } from '../model/site.js';
import { formatSite } from '../model/site.js';
import { byBeginning, cutIntoBatches, padBatch, tokenise } from './batches.js';
import type { CaptureThread } from './capture-thread.js';
import type { ReadoutTokens, SinkCalibration } from './details.js';
import { GENERAL_SENTENCES } from './general-text.js';
import { median } from './pooling.js';
import { READOUT_PAIRS } from './readout-words.js';
import { fillTemplate } from './template.js';

/** A sink's norm is above this many times the median token norm (docs/paper.md section 2). */
export const SINK_RATIO = 3;
/** Of the tokens that are likeliest after the corpus's own texts, this many are kept for the recalibrated readout. */
const FREQUENT_TOKENS = 300;

/**
 * The sink threshold of every site: 3 x the median norm of the tokens of general text, first tokens left out. It looks at no
 * later token and at no corpus, so prefill and step-by-step, and any two corpora, agree on what a sink is.
 */
export async function calibrateSinks(
  thread: CaptureThread,
  sites: readonly Site[],
  tokenizer: Tokenizer,
  rowsPerBatch: number,
): Promise<SinkCalibration[]> {
  const tokens = await tokenise(GENERAL_SENTENCES, tokenizer, 128);
  const texts = byBeginning(tokens);
  const norms: number[][] = sites.map(() => []);
  for (const batch of cutIntoBatches(tokens, texts, rowsPerBatch)) {
    const reply = await thread.request<'norms'>({ kind: 'norms', batch: padBatch(tokens, batch) });
    reply.norms.forEach((ofTexts, site) => {
      for (const ofText of ofTexts) norms[site].push(...ofText);
    });
  }
  return sites.map((site, i) => {
    const medianNorm = median(Float64Array.from(norms[i]));
    if (!(medianNorm > 0 && Number.isFinite(medianNorm)))
      throw new MoralscopeError(
        'bad-data',
        `At ${formatSite(site)} the median norm of a token's state is ${medianNorm}.`,
        'The checkpoint is damaged, or overflows in this precision: choose another.',
      );
    return { layer: site.layer, medianNorm, threshold: SINK_RATIO * medianNorm };
  });
}

/**
 * The readout's tokens: the antonyms of which both are a single token where the template ends, and the tokens of highest
 * mean probability there.
 * @param mean mean next-token probabilities [vocabulary] after a sample of the corpus's texts; no label plays a part
 */
export function chooseReadoutTokens(tokenizer: Tokenizer, template: string, mean: Float64Array, sample: number): ReadoutTokens {
  const tokenIds: number[] = [];
  const indexOf = (id: number) => (tokenIds.includes(id) ? tokenIds.indexOf(id) : tokenIds.push(id) - 1);
  const pairs: [number, number][] = [];
  const words: [string, string][] = [];
  for (const [[a, b], pair] of singleTokenPairs(tokenizer, template)) {
    pairs.push([indexOf(a), indexOf(b)]);
    words.push(pair);
  }
  const likeliest = Array.from(mean.keys()).sort((a, b) => mean[b] - mean[a] || a - b);
  for (const id of likeliest.slice(0, FREQUENT_TOKENS)) indexOf(id);
  return { tokenIds, tokens: tokenIds.map((id) => tokenizer.decode([id])), pairs, words, sample };
}

/** Token ids of the antonyms of which both are a single token where the template ends, virtue first. */
export function wordPairs(tokenizer: Tokenizer, template: string): [number, number][] {
  return singleTokenPairs(tokenizer, template).map(([ids]) => ids);
}

function singleTokenPairs(tokenizer: Tokenizer, template: string): [[number, number], [string, string]][] {
  return READOUT_PAIRS.flatMap(([virtue, vice]) => {
    const [a, b] = [virtue, vice].map((word) => nextToken(tokenizer, template, word));
    return a === undefined || b === undefined || a === b
      ? []
      : [
          [
            [a, b],
            [virtue, vice],
          ],
        ];
  });
}

/** The id of a word that is one token after the template, whatever the tokenizer makes of the space between; an unknown token is none. */
function nextToken(tokenizer: Tokenizer, template: string, word: string): number | undefined {
  const text = fillTemplate(template, 'reading');
  const encode = (s: string) => tokenizer.encode(s, { addSpecialTokens: false });
  const before = encode(text);
  const after = encode(/\s$/.test(text) ? text + word : `${text} ${word}`);
  const id = after.at(-1)!;
  const isNext = after.length === before.length + 1 && before.every((known, i) => after[i] === known);
  return isNext && tokenizer.decode([id]).trim() === word ? id : undefined;
}
