import type { Diagnosis, Figure } from '../diagnosis/schema.js';
import { figureLine } from './figure-text.js';
import { intervalRows } from './interval-rows.js';
import { html, type Markup } from './markup.js';
import { captioned, type Section } from './page.js';
import { curvePanels, POOLING_NAMES } from './pooling-panels.js';

type Named = [name: string, figure: Figure, hollow: boolean];

function panel(title: string, figures: Named[], reference: number): Markup {
  const rows = figures.map(([name, figure, hollow]) => ({ name, figure, hollow }));
  return html`<div class="panel"><h4>${title}</h4>${intervalRows({ label: title, rows, reference, labelled: true, width: 400 })}
${rows.filter((r) => r.figure.value === null).map((r) => html`<p class="none">${r.name}: ${figureLine(r.figure)}</p>`)}</div>`;
}

/** What the model says at the template's end beside what a probe reads from its states (docs/paper.md section 3.5). */
export function saysAndKnowsSection(diagnosis: Diagnosis): Section {
  const { readout, knows, template } = diagnosis;
  const where = [knows.layer === null ? null : `layer ${knows.layer}`, knows.pooling && POOLING_NAMES[knows.pooling]].filter(
    (w) => w !== null,
  );
  return {
    id: 'readout',
    name: 'Readout',
    title: 'Readout: what the model says, and what can be read from its states',
    body: html`<p class="how">After <code>${template}</code> the model’s next-token probabilities of approving words are set against those of
disapproving words. <em>Discrimination</em> (AUC, rank correlation) says whether it tells virtue from vice; <em>bias</em> says whether it leans to
approval whatever it is asked, and is never mixed with the former. A linear probe shows what the states hold at least. The probe was trained
and the readout was not, so two floors stand beside it, fitted on the same training texts: words alone, and the readout recalibrated.</p>
${captioned(
  html`<b>Says and knows.</b> Filled: the model itself. Hollow: what was fitted to training texts and judged on the others.`,
  html`<div class="pair">
${panel(
  'AUC of virtue against vice (.5 is guessing)',
  [
    ['says, all texts', readout.auc, false],
    ['says, test texts', readout.aucOnTest, false],
    ['bag of words', readout.floors.bagOfWords, true],
    ['recalibrated readout', readout.floors.recalibrated, true],
    ['knows: linear probe', knows.auc, true],
  ],
  0.5,
)}
<div>${panel(
    'Rank correlation with the signed judgment',
    [
      ['says', readout.spearman, false],
      ['knows: linear probe', knows.spearman, true],
    ],
    0,
  )}
${panel('Bias, nats (above 0: leans to approval)', [['says', readout.bias, false]], 0)}</div>
</div>
<ul class="legend"><li>bar: 95% interval</li><li>grey band: chance, central 95% of the null</li>${
    where.length > 0 && html`<li>probe at ${where.join(', ')}</li>`
  }</ul>`,
)}
${captioned(
  html`<b>What a probe reads, layer by layer.</b> AUC of virtue against vice of a linear probe on texts it was not trained on.`,
  curvePanels(diagnosis, { title: 'Probe AUC', curves: (l) => ({ value: l.knows }), reference: 0.5, height: 150 }),
)}
<details><summary>The words (${readout.words.length} pairs)</summary>
<p>${readout.words.map(([virtue, vice]) => `${virtue} / ${vice}`).join(' · ')}</p></details>`,
  };
}
