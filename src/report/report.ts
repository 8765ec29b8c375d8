/** @file A diagnosis as one self-contained HTML file, drawn on the server: nothing is fetched, no script runs. */
import type { Diagnosis } from '../diagnosis/schema.js';
import { bestLayers } from './best-layers.js';
import { categoricalSection } from './categorical.js';
import { dimensionalSection } from './dimensional.js';
import { glossarySection } from './glossary.js';
import { gradientSection } from './gradient.js';
import { html, type Markup } from './markup.js';
import { page, type Section } from './page.js';
import { prototypesSection } from './prototypes.js';
import { dateOf, runSection } from './run-table.js';
import { saysAndKnowsSection } from './says-and-knows.js';
import { sinkSection } from './sink.js';
import { structuralSection } from './structural.js';
import { typicalSection } from './typical-actions.js';
import { verdictCards } from './verdict-cards.js';

function header(diagnosis: Diagnosis): Markup {
  const { model, corpus, n, summary, profile } = diagnosis;
  const facts = [`corpus ${corpus.name}`, `${n.texts.toLocaleString('en-US')} texts`, `${profile} profile`, dateOf(diagnosis)];
  return html`<p class="eyebrow">moralscope: how a language model represents morality inside</p>
<h1>${model.name}</h1>
<p class="facts">${facts.filter((f) => f !== undefined).join(' · ')}</p>
${
  corpus.authored &&
  html`<p class="notice"><b>Authored, not human judgments.</b> The actions of this corpus and their judgments were written by its authors. They show
how the method works; what people judge may differ.</p>`
}
<p class="summary">${summary}</p>`;
}

function verdictsSection(diagnosis: Diagnosis): Section {
  return {
    id: 'verdicts',
    name: 'Verdicts',
    title: 'Five verdicts',
    body: html`${verdictCards(diagnosis.verdicts)}
${bestLayers(diagnosis)}`,
  };
}

/**
 * The report of a diagnosis: one HTML document with its style and drawings inside, readable without a network or scripts, on
 * a phone, in the dark and in print. The same diagnosis gives the same bytes.
 */
export function renderReport(diagnosis: Diagnosis): string {
  return page(`${diagnosis.model.name}: moral geometry`, header(diagnosis), [
    verdictsSection(diagnosis),
    saysAndKnowsSection(diagnosis),
    categoricalSection(diagnosis),
    gradientSection(diagnosis),
    structuralSection(diagnosis),
    dimensionalSection(diagnosis),
    sinkSection(diagnosis),
    prototypesSection(diagnosis),
    typicalSection(diagnosis),
    runSection(diagnosis),
    glossarySection(),
  ]);
}
