import { html } from './markup.js';
import type { Section } from './page.js';

const TERMS: [string, string][] = [
  [
    'Text, pole, foundation',
    'A text is one short action. Each of five foundations has two poles, a virtue and a vice, such as care and harm. A judgment says how strongly a text belongs to a pole, from 0 to 1; a neutral text has 0 on both. Everything here is counted, permuted and resampled by text.',
  ],
  [
    'Null, chance, grey band',
    'The same measurement after the judgments were shuffled among the texts of a foundation, many times. The band holds the central 95% of what came out. A value inside it is what a model gives that knows nothing of the judgments. Since p looks to one side only, a value with p between .025 and .05 lies just inside the better end of the band.',
  ],
  [
    '95% interval',
    'How far the value would move with another sample of texts of the same kind (bootstrap over texts). It says how sure the value is, not whether it differs from chance: for that look at the null. For clusters it is the range over clusterings of random four fifths of the texts, which is narrower.',
  ],
  [
    'p',
    'The share of shuffles that did at least as well as the real judgments (one-sided). The smallest possible p is one over the number of shuffles plus one.',
  ],
  [
    'Detectable',
    'The value from which this many texts would have shown an effect, four times out of five. If it is large, the sample is too small to find anything but a large effect.',
  ],
  [
    'Told apart, not told from chance',
    'The first: better than the null. The second: the value lies where chance lies. That is not proof of indifference: absence of evidence is not evidence of absence. Look at the detectable value before you conclude that a model is indifferent; where none is given, no value would have been enough.',
  ],
  ['Empty', 'There was nothing to compute, for instance because a pole has no texts. The reason stands beside it.'],
  [
    'Prototype, cosine',
    'The mean state of a pole’s texts, after the mean of all texts was taken off. The cosine is 1 where two prototypes point the same way, 0 where they have nothing to do with each other, −1 where they are opposed. Poles of one foundation share a topic, so shuffled judgments give a positive cosine too: compare with the null, not with zero.',
  ],
  [
    'Reliability, disattenuated',
    'How well prototypes from two halves of the same pole agree. A low reliability pulls every cosine towards 0; the disattenuated cosine makes up for that.',
  ],
  [
    'Spearman, AUC, R²',
    'Spearman: how well two rankings agree, from −1 to 1. AUC: how often a virtue gets a higher score than a vice, .5 being guessing. R²: the share of the variance of the judgments that is predicted on texts never seen; below 0 is worse than the mean.',
  ],
  [
    'ARI, AMI, noise',
    'Two measures of how well clusters match given classes, corrected so that chance gives 0. Noise is the share of points that belong to no cluster.',
  ],
  [
    'Pooling',
    'How the states of a text’s tokens become one: the last token; the mean of the content tokens, which leaves out the sink; the mean of all tokens, sink included, as in the published study.',
  ],
  [
    'Sink, length regressed out',
    'The first token of most decoders has a huge, nearly constant state. In a mean over all tokens it turns into a measure of the text’s length. The dashed lines show each figure after everything that length and 1 / length explain was taken out of the states.',
  ],
  [
    'Best layer',
    'Chosen on one half of the texts and measured on the other (dimensional: validation and test texts), so that the choice does not flatter. The p of the maximum sets the most extreme of all layers and poles against the most extreme of every shuffle.',
  ],
  [
    'Says, knows',
    'Says: the probability of approving against disapproving words after the template. Knows: what a linear probe reads from the states, which is at least what they hold. Floors: what words alone, or the recalibrated output, give.',
  ],
  [
    'Discrimination, bias',
    'Discrimination: does the answer differ between virtue and vice? Bias: is it shifted to approval for both? A model may be biased and still discriminate, and the other way round.',
  ],
];

/** The report's own words in plain ones. */
export function glossarySection(): Section {
  return {
    id: 'glossary',
    name: 'How to read this',
    title: 'How to read this',
    body: html`<dl class="glossary">${TERMS.map(([term, meaning]) => html`<dt>${term}</dt><dd>${meaning}</dd>\n`)}</dl>`,
  };
}
