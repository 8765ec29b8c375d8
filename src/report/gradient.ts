import type { Diagnosis, Gradient } from '../diagnosis/schema.js';
import { POLES } from '../moral/foundation.js';
import { AGAINST_HEADERS, againstCells, figureCell } from './figure-text.js';
import { html, type Markup } from './markup.js';
import { captioned, type Section, scrollingTable } from './page.js';
import { curvePanels, stripPanels, verdictLayer } from './pooling-panels.js';

function table(gradient: Gradient, n: Diagnosis['n']['perPole']): Markup {
  return scrollingTable(
    'Rank correlations by pole',
    html`<th scope="col">pole</th><th scope="col">texts</th><th scope="col">detection, 95%</th>${AGAINST_HEADERS}
<th scope="col">gradient, 95%</th>${AGAINST_HEADERS}`,
    POLES.map((pole) => {
      const figures = gradient.perPole[pole];
      return html`<tr><th scope="row">${pole}</th><td class="number">${n[pole]}</td>${figureCell(figures.detection)}${againstCells(
        figures.detection,
      )}${figureCell(figures.gradient)}${againstCells(figures.gradient)}</tr>\n`;
    }),
  );
}

/** Analysis 2: does typicality follow judgment (docs/paper.md section 3.2). */
export function gradientSection(diagnosis: Diagnosis): Section {
  const detail = verdictLayer(diagnosis, 'gradient');
  return {
    id: 'gradient',
    name: 'Gradient',
    title: 'Gradient: do states follow the judgment, and its strength?',
    body: html`<p class="how">Each text’s cosine with its pole’s prototype (the text itself left out) is ranked against the judgment of it.
<b>Higher is better.</b> <em>Detection</em> counts the foundation’s neutral texts as zeros: are harms closer to “harm” than neutral texts?
<em>Gradient</em> looks at texts of the pole alone, and is harder: is a worse harm closer? The null permutes the signed judgments among the texts of a foundation.</p>
${captioned(
  html`<b>Detection: Spearman’s correlation with neutral texts counted as zero, mean over poles.</b> Above the grey band, typicality says at
least whether a text belongs to the pole.`,
  curvePanels(diagnosis, {
    title: 'Detection',
    curves: (l) => ({ value: l.gradient.detection, lengthRegressed: l.lengthRegressed.gradient.detection }),
    best: 'gradient',
  }),
)}
${captioned(
  html`<b>Gradient: the same among the texts of a pole alone.</b> A line inside the grey band knows the pole at most, not the degree.`,
  curvePanels(diagnosis, {
    title: 'Gradient',
    curves: (l) => ({ value: l.gradient.gradient, lengthRegressed: l.lengthRegressed.gradient.gradient }),
  }),
)}
${captioned(
  html`<b>Detection of each pole.</b> Orange: closer to the prototype the stronger the judgment. Blue: the reverse.`,
  stripPanels(diagnosis, 'Detection', 'higher', (a) => POLES.map((p) => [p, a.gradient.perPole[p].detection])),
)}
${captioned(
  html`<b>Gradient of each pole.</b>`,
  stripPanels(diagnosis, 'Gradient', 'higher', (a) => POLES.map((p) => [p, a.gradient.perPole[p].gradient])),
)}
${
  detail &&
  html`<h3>By pole: ${detail.place}</h3>
${table(detail.analyses.gradient, diagnosis.n.perPole)}`
}`,
  };
}
