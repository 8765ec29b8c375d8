import type { Diagnosis, Dimensional } from '../diagnosis/schema.js';
import { POLES } from '../moral/foundation.js';
import { AGAINST_HEADERS, againstCells, decimal, figureCell, figureLine } from './figure-text.js';
import { html, type Markup } from './markup.js';
import { captioned, type Section, scrollingTable } from './page.js';
import { curvePanels, stripPanels, verdictLayer } from './pooling-panels.js';

/** Held-out R2 below this says no more than "useless", and would flatten everything else in the picture. */
const LOWEST_R2 = -0.25;

function table(dimensional: Dimensional): Markup {
  return scrollingTable(
    'R² by pole',
    html`<th scope="col">pole</th><th scope="col">R², 95%</th>${AGAINST_HEADERS}`,
    POLES.map((pole) => {
      const figure = dimensional.perPole[pole];
      return html`<tr><th scope="row">${pole}</th>${figureCell(figure)}${againstCells(figure)}</tr>\n`;
    }),
  );
}

function trainingFit({ adjustedR2, edf, lambda, floor, ceiling }: Dimensional): Markup {
  const known = (value: number | null, digits: number) => (value === null ? 'unknown' : decimal(value, digits));
  return html`<p class="how">Training fit, shown apart because it flatters: adjusted R² ${known(adjustedR2, 2)} with ${known(edf, 0)} effective degrees
of freedom at λ = ${lambda === null ? 'unknown' : lambda}. Floor (bag of words): ${figureLine(floor)}. Ceiling (repeated annotation of the same text): ${figureLine(ceiling)}.</p>`;
}

/** Analysis 4: a linear map from states to the ten moral dimensions (docs/paper.md section 3.4). */
export function dimensionalSection(diagnosis: Diagnosis): Section {
  const detail = verdictLayer(diagnosis, 'dimensional');
  return {
    id: 'dimensional',
    name: 'Dimensional',
    title: 'Dimensional: can the ten moral dimensions be read off linearly?',
    body: html`<p class="how">A ridge regression maps each state to its ten moral dimensions; R² is measured on texts it has not seen. <b>Higher is
better;</b> below zero it is worse than guessing the mean. The floor is the same regression on words alone: a state that does not rise above it
adds nothing to the words. The ceiling is as far as repeated judgments of the same text agree. The null permutes the signed judgments.</p>
${captioned(
  html`<b>R² on held-out texts, mean over the ten dimensions.</b> Values below ${decimal(LOWEST_R2)} are drawn at the lower edge.`,
  curvePanels(diagnosis, {
    title: 'R²',
    curves: (l) => ({
      value: l.dimensional.r2,
      lengthRegressed: l.lengthRegressed.dimensional.r2,
      floor: l.dimensional.floor,
      ceiling: l.dimensional.ceiling,
    }),
    best: 'dimensional',
    floor: LOWEST_R2,
  }),
)}
${captioned(
  html`<b>R² of each pole.</b>`,
  stripPanels(diagnosis, 'R²', 'higher', (a) => POLES.map((p) => [p, a.dimensional.perPole[p]])),
)}
${
  detail &&
  html`<h3>By pole: ${detail.place}</h3>
${trainingFit(detail.analyses.dimensional)}
${table(detail.analyses.dimensional)}`
}`,
  };
}
