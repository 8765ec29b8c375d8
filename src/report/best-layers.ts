import { ANALYSES, type Best, type Diagnosis } from '../diagnosis/schema.js';
import { intervalText, probabilityText, valueText } from './figure-text.js';
import { html, type Markup } from './markup.js';
import { scrollingTable } from './page.js';
import { POOLING_NAMES, poolingsOf } from './pooling-panels.js';

function cell({ layer, figure, pMaximum }: Best): Markup {
  if (figure.value === null) return html`<td class="none">empty: ${figure.why ?? 'no reason given'}</td>`;
  return html`<td class="number"><b>${valueText(figure)}</b> <small>${intervalText(figure)}</small><br>
<small>layer ${layer}${pMaximum !== undefined && `, p of the maximum ${probabilityText(pMaximum)}`}</small></td>`;
}

/** Best layer of every analysis and pooling, with its held-out figure and the p that pays for having looked at all layers. */
export function bestLayers(diagnosis: Diagnosis): Markup {
  const poolings = poolingsOf(diagnosis);
  if (poolings.length === 0) return html`<p class="none">Empty: no layer was diagnosed.</p>`;
  return html`<h3>The same by pooling</h3>
<p class="how">Each at its best layer, which was chosen on one half of the texts and measured on the other (dimensional: chosen on validation texts, measured
on test texts). The p of the maximum asks whether anything at all is there: the most extreme of all layers and poles, each in standard deviations of its
own null, against the most extreme of every permutation. It need not be the layer shown.</p>
${scrollingTable(
  'Best layers by pooling',
  html`<th scope="col">analysis</th>${poolings.map(([pooling]) => html`<th scope="col">${POOLING_NAMES[pooling]}</th>`)}`,
  ANALYSES.map(
    (analysis) => html`<tr><th scope="row">${analysis}</th>${poolings.map(([, { best }]) => cell(best[analysis]))}</tr>\n`,
  ),
)}`;
}
