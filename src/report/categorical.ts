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

/** Analysis 1: are opposed poles held apart (docs/paper.md section 3.1). */
export function categoricalSection(diagnosis: Diagnosis): Section {
  const detail = verdictLayer(diagnosis, 'categorical');
  return {
    id: 'categorical',
    name: 'Categorical',
    title: 'Categorical: do opposed poles point apart?',
    body: html`<p class="how">A pole’s prototype is the mean of the centred states of its texts. Opposed poles share their topic, which pulls
their prototypes together; what holds care and harm apart is valence, which pushes them asunder. <b>Lower is better.</b> The null permutes the
signed judgments among the texts of a foundation: the topic stays, praise and blame are shuffled, so chance lies well above zero wherever states
follow the topic. The baseline is the cosine of a pole with the opposed poles of <em>other</em> foundations: what is left when no topic is shared.</p>
${captioned(
  html`<b>Mean cosine of opposed prototypes by layer.</b> Below the grey band, the states hold opposed poles further apart than shuffled judgments
do. Above zero, they still point more the same way than apart: topic outweighs valence.`,
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
