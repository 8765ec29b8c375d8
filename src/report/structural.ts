import type { Diagnosis, Figure, Structural } from '../diagnosis/schema.js';
import { AGAINST_HEADERS, againstCells, figureCell } from './figure-text.js';
import { html, type Markup } from './markup.js';
import { captioned, type Section, scrollingTable } from './page.js';
import { curvePanels, stripPanels, verdictLayer } from './pooling-panels.js';

const LABELS = ['polarity', 'foundation', 'both'] as const;

const MEASURES = [
  ['ari', 'ARI'],
  ['ariWithoutNoise', 'ARI*'],
  ['ami', 'AMI'],
  ['kmeansAmi', 'k-means'],
] as const;

function table(structural: Structural): Markup {
  const rows: [string, string, Figure][] = MEASURES.flatMap(([measure, name]) =>
    LABELS.map((label): [string, string, Figure] => [name, label, structural[measure][label]]),
  );
  return scrollingTable(
    'Agreement of clusters with moral classes',
    html`<th scope="col">measure</th><th scope="col">classes</th><th scope="col">agreement</th>${AGAINST_HEADERS}`,
    rows.map(
      ([name, label, figure]) =>
        html`<tr><th scope="row">${name}</th><td>${label}</td>${figureCell(figure)}${againstCells(figure)}</tr>\n`,
    ),
  );
}

/** Analysis 3: do clusters of states match the classes of judgment (docs/paper.md section 3.3). */
export function structuralSection(diagnosis: Diagnosis): Section {
  const detail = verdictLayer(diagnosis, 'structural');
  const found = detail?.analyses.structural;
  return {
    id: 'structural',
    name: 'Structural',
    title: 'Structural: do texts fall into moral groups by themselves?',
    body: html`<p class="how">States are reduced by PCA and clustered by density (HDBSCAN), without any labels; then the clusters are compared with the
classes that the judgments make. The adjusted Rand index is 1 where they agree and 0 where they agree as chance would have it. <b>Higher is better</b>, but read
it beside the noise: points left in no cluster count as a class of their own here. The null
shuffles virtue, vice and neutral among the texts of a foundation, and for the foundations the foundations among all texts.</p>
${captioned(
  html`<b>Adjusted Rand index by layer.</b> Against polarity (virtue, vice, neutral), the five foundations, and both together. The interval of the
best layer comes from clustering four fifths of the texts again and again; copies of a text would make clusters of their own, so there is none elsewhere.`,
  LABELS.map((label, i) =>
    curvePanels(diagnosis, {
      title: `ARI, ${label}`,
      curves: (l) => ({ value: l.structural.ari[label], lengthRegressed: l.lengthRegressed.structural.ari[label] }),
      ...(label === 'polarity' && { best: 'structural' as const }),
      height: 160,
      legend: i === 0,
    }),
  ),
)}
${captioned(
  html`<b>Noise: share of the texts that fall into no cluster.</b> Near 1, the states have no dense groups and the index above says little.`,
  curvePanels(diagnosis, {
    title: 'Noise',
    curves: (l) => ({ value: l.structural.noise, lengthRegressed: l.lengthRegressed.structural.noise }),
    height: 140,
  }),
)}
${captioned(
  html`<b>Other measures of the same agreement.</b> ARI*: noise points dropped, as the paper does.
AMI: adjusted mutual information. k-means: AMI of clusters by k-means, which is given the number of classes.`,
  stripPanels(diagnosis, 'Agreement', 'higher', (a) =>
    MEASURES.slice(1).flatMap(([measure, name]) =>
      LABELS.map((label): [string, Figure] => [`${name} ${label}`, a.structural[measure][label]]),
    ),
  ),
)}
${
  detail &&
  found &&
  html`<h3>In detail: ${detail.place}</h3>
<p class="how">${found.clusters} clusters in ${found.components} principal components; smallest cluster ${found.minClusterSize} texts,
${found.minSamples} neighbours for the density.</p>
${table(found)}`
}`,
  };
}
