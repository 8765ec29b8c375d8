import type { Categorical, Diagnosis } from '../diagnosis/schema.js';
import { FOUNDATIONS } from '../moral/foundation.js';
import { AGAINST_HEADERS, againstCells, figureCell } from './figure-text.js';
import { html, type Markup } from './markup.js';
import { captioned, type Section, scrollingTable } from './page.js';
import { curvePanels, stripPanels, verdictLayer } from './pooling-panels.js';

function table(categorical: Categorical): Markup {
  return scrollingTable(
    'Cosines by foundation',
    html`<th scope="col">foundation</th><th scope="col">cosine, 95%</th>${AGAINST_HEADERS}<th scope="col">disattenuated</th>
<th scope="col">reliability: virtue</th><th scope="col">reliability: vice</th><th scope="col">baseline</th>`,
    FOUNDATIONS.map((f) => {
      const { cosine, disattenuated, reliability, baseline } = categorical.perFoundation[f];
      return html`<tr><th scope="row">${f}</th>${figureCell(cosine)}${againstCells(cosine)}${figureCell(disattenuated)}${figureCell(
        reliability.virtue,
      )}${figureCell(reliability.vice)}${figureCell(baseline)}</tr>\n`;
    }),
  );
}

/** Analysis 1: are opposed poles held apart (PAPER.md section 3.1). */
export function categoricalSection(diagnosis: Diagnosis): Section {
  const detail = verdictLayer(diagnosis, 'categorical');
  return {
    id: 'categorical',
    name: 'Categorical',
    title: 'Categorical: do opposed poles point apart?',
    body: html`<p class="how">A pole’s prototype is the mean of the centred states of its texts. If a model holds care and harm apart, their
prototypes point in opposite directions and the cosine is well below zero. <b>Lower is better.</b> The null permutes the signed judgments
among the texts of a foundation: the topic stays, praise and blame are shuffled. The baseline is the cosine of a pole with the opposed
poles of <em>other</em> foundations, which is what good against bad gives without the pair.</p>
${captioned(
  html`<b>Mean cosine of opposed prototypes by layer.</b> The line tells poles apart where it runs below the grey band; what it has to
do with the pair itself is its distance to the dotted baseline.`,
  curvePanels(diagnosis, {
    title: 'Cosine',
    curves: (l) => ({
      value: l.categorical.mean,
      lengthRegressed: l.lengthRegressed.categorical.mean,
      baseline: l.categorical.baseline,
    }),
    best: 'categorical',
  }),
)}
${captioned(
  html`<b>The same for each foundation.</b> Blue: opposed poles point apart. Orange: they point the same way.`,
  stripPanels(diagnosis, 'Cosine', 'lower', (a) =>
    FOUNDATIONS.map((f) => [f.split('-')[0], a.categorical.perFoundation[f].cosine]),
  ),
)}
${
  detail &&
  html`<h3>By foundation: ${detail.place}</h3>
<p class="how">Disattenuated: the cosine divided by what two halves of the same pole agree in (their reliability); it says how far apart the
poles would stand if the prototypes were measured without noise.</p>
${table(detail.analyses.categorical)}`
}`,
  };
}
