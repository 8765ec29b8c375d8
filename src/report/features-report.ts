/** @file Moral features of a sparse autoencoder as one self-contained HTML file. */
import type { Features, Screening, Survivor } from '../alignment/features-schema.js';
import type { Manifest } from '../artifact/manifest.js';
import { formatSite } from '../model/site.js';
import { POLES } from '../moral/foundation.js';
import { featureCard, histogramBars, latentLink } from './feature-card.js';
import { decimal, probabilityText } from './figure-text.js';
import { html, type Markup, type Part } from './markup.js';
import { captioned, heads, page, type Section, scrollingTable } from './page.js';
import { whatWasRun } from './what-was-run.js';

const count = (n: number) => n.toLocaleString('en-US');

/** One HTML document: what survives, beside what finds something where nothing is, an index by pole and a card a latent. */
export function renderFeatures(features: Features, manifest: Manifest): string {
  const described = new Set(features.features.map(({ latent }) => latent));
  return page(`${features.model.name}: moral features`, header(features), [
    rulesSection(features),
    polesSection(features, described),
    indexSection(features, described),
    densitySection(features),
    cardsSection(features, described),
    runSection(features, manifest),
  ]);
}

function header({ model, sae, corpus, n, summary, notes }: Features): Markup {
  const facts = [
    formatSite(sae.site),
    `${sae.architecture}, ${count(sae.width)} latents`,
    `corpus ${corpus.name}`,
    `${count(n.texts)} texts`,
  ];
  return html`<p class="eyebrow">moralscope: moral features of a sparse autoencoder</p>
<h1>${model.name}</h1>
<p class="facts">${facts.join(' · ')}</p>
${
  corpus.authored &&
  html`<p class="notice"><b>Authored, not human judgments.</b> The actions of this corpus and their judgments were written by its authors. They show
how the method works; what people judge may differ.</p>`
}
<p class="summary">${summary}</p>
${notes.map((note) => html`<p class="how">${note}</p>`)}`;
}

function rulesSection(features: Features): Section {
  const { readings, peers, level, minEffect, permutations, folds, width } = { ...features, width: features.sae.width };
  const { permutedVectors: permuted } = peers;
  const row = (name: string, { width: of, l0, tested, active, survivors, paper }: Screening) =>
    html`<tr><th scope="row">${name}</th><td>${count(of)}</td><td>${decimal(l0, 1)}</td><td>${count(active)}</td><td>${count(tested)}</td><td><b>${count(
      survivors,
    )}</b></td><td>${count(paper.mono)}</td><td>${count(paper.poly)}</td><td>${count(paper.weak)}</td><td>${count(paper.fineTuned)}</td></tr>\n`;
  const spread = ({ mean, max }: { mean: number; max: number }) => html`${mean.toFixed(1)} <small>at most ${max}</small>`;
  return {
    id: 'rules',
    name: 'Rules',
    title: 'What the rules find, and where nothing is',
    body: html`<p class="how"><b>Survive</b>: active on at least 10 texts of each half, chosen on one half of the texts by |r| of at least ${decimal(minEffect)} and judged on the other${
      folds.crossFitted && ', and the other way round'
    }: false discovery rate ${decimal(level)} a pole, r of the same sign and again at least ${decimal(minEffect)}, p from ${count(
      permutations,
    )} exchanges of judgments among texts. <b>The paper’s rules</b> look at r of all texts at once, without a test: mono-semantic where exactly one
|r| is above .1, or both of an opposed pair; weak where all are below .05. A rule is worth what it finds beyond random directions and exchanged vectors.</p>
${scrollingTable(
  'What the rules find',
  heads([
    'variables',
    'number',
    'active on a text',
    'on enough texts',
    'tests',
    'survive',
    'paper: mono',
    'poly',
    'weak',
    'fine-tuned',
  ]),
  [
    row('latents, last token', readings.last.screening),
    readings.content && row('latents, mean over content tokens', readings.content.screening),
    row('raw channels, last token', peers.channels),
    row('random directions of equal L0, last token', peers.randomDirections),
    peers.randomDirectionsOnContent && row('random directions, mean over content tokens', peers.randomDirectionsOnContent),
    html`<tr><th scope="row">latents, exchanged moral vectors (${permuted.draws})</th><td>${count(width)}</td><td>–</td><td>–</td><td>–</td><td><b>${spread(
      permuted.survivors,
    )}</b></td><td>${spread(permuted.mono)}</td><td>–</td><td>–</td><td>${spread(permuted.fineTuned)}</td></tr>\n`,
  ],
)}`,
  };
}

function polesSection(features: Features, described: ReadonlySet<number>): Section {
  const { readings, peers, n, skipped, level } = features;
  const best = (screening: Screening, pole: (typeof POLES)[number], link: boolean): Part => {
    const found = screening.best[pole];
    if (!found) return html`<td class="number">–</td>`;
    return html`<td class="number"><b>${found.r === null ? '–' : decimal(found.r)}</b>${
      found.ci95 && html` <small>[${decimal(found.ci95[0])}, ${decimal(found.ci95[1])}]</small>`
    } <small>${link ? latentLink(found.index, described) : `#${found.index}`}</small></td>`;
  };
  return {
    id: 'poles',
    name: 'Poles',
    title: 'By pole',
    body: html`<p class="how">The strongest variable of each pole on fold A, measured on fold B: r, 95% interval, which one. <em>Beyond topics</em>: survivors
whose r is not explained by which foundations the texts are about (judgments exchanged among texts of the same foundations). <em>Detectable</em>: the |r|
that a single latent would have shown with 80% power.</p>
${scrollingTable(
  'By pole',
  heads([
    'pole',
    'texts',
    'tests',
    'survive',
    'beyond topics',
    'detectable',
    'best latent',
    'best raw channel',
    'best random direction',
  ]),
  POLES.map((pole) => {
    const counts = readings.last.screening.perPole[pole];
    if (!counts)
      return html`<tr><th scope="row">${pole}</th><td>${n.perPole[pole]}</td><td class="none" colspan="7">not screened: ${skipped[pole]}</td></tr>\n`;
    const beyond = readings.last.survivors.filter((one) => one.pole === pole && one.topic.q <= level).length;
    return html`<tr><th scope="row">${pole}</th><td>${n.perPole[pole]}</td><td>${counts.tested}</td><td><b>${counts.survivors}</b></td><td>${beyond}</td><td>${decimal(
      counts.detectable,
    )}</td>${best(readings.last.screening, pole, true)}${best(peers.channels, pole, false)}${best(peers.randomDirections, pole, false)}</tr>\n`;
  }),
)}`,
  };
}

function indexSection({ readings, level }: Features, described: ReadonlySet<number>): Section {
  const row = ({ latent, pole, chosenBy, r, p, q, topic }: Survivor) =>
    html`<tr><th scope="row">${pole}</th><td>${latentLink(latent, described)}</td><td class="number"><b>${decimal(r)}</b></td><td class="number">${decimal(
      chosenBy,
    )}</td><td class="number">${probabilityText(p)}</td><td class="number">${probabilityText(q)}</td><td class="number">${decimal(
      topic.expected,
    )}</td><td class="number">${probabilityText(topic.q)}</td><td>${topic.q <= level ? 'judgment' : 'topic'}</td></tr>\n`;
  const { survivors } = readings.last;
  return {
    id: 'index',
    name: 'Index',
    title: 'Index of survivors by pole',
    body:
      survivors.length === 0
        ? html`<p class="none">No latent survives. That is no proof that there is none: see what could have been detected, by pole.</p>`
        : scrollingTable(
            'Survivors',
            heads([
              'pole',
              'latent',
              'r, judging fold',
              'r, choosing fold',
              'p',
              'q',
              'r of topics alone',
              'q beyond topics',
              'goes with',
            ]),
            survivors.map(row),
          ),
  };
}

function densitySection({ readings, sae }: Features): Section {
  const figures = [
    ['last states of texts', readings.last.density] as const,
    ...(readings.content ? [['content tokens', readings.content.density] as const] : []),
  ];
  return {
    id: 'density',
    name: 'Density',
    title: 'How often latents are active',
    body: html`<div class="pair">${figures.map(([name, { states, dead, histogram }]) =>
      captioned(
        html`<b>${name}</b>: ${count(sae.width - dead)} of ${count(sae.width)} latents are active on at least one of ${count(states)}; ${count(dead)} on none.`,
        histogramBars(`Latents by density on ${name}`, histogram, 'log₁₀ of the share of states', 170),
      ),
    )}</div>`,
  };
}

function cardsSection(features: Features, described: ReadonlySet<number>): Section {
  return {
    id: 'features',
    name: 'Latents',
    title: 'Latents',
    body: html`<p class="how">Filled points: survives for that pole. The bar is a 95% interval over texts; where each
fold chose the latent for the other, r is the mean of both, and as a chosen one a little too large. Tokens are shaded by z, the largest of each text
underlined; sinks (the first token, and those far longer than others) are left white. ${features.lens}</p>
${
  features.features.length === 0
    ? html`<p class="none">None was chosen for any pole, and none was asked for.</p>`
    : features.features.map((feature) => featureCard(feature, features, described))
}`,
  };
}

function runSection({ folds, seed, permutations, bootstraps, corpus, model, template }: Features, manifest: Manifest): Section {
  const facts: [string, Part][] = [
    ['model', html`${model.name}, ${model.precision}, sha256 <code>${model.sha256}</code>`],
    ['corpus', html`${corpus.name}, sha256 <code>${corpus.sha256}</code>`],
    ['template', html`<code>${template}</code>`],
    [
      'folds',
      `${folds.names.map((name, i) => `${name}: ${folds.texts[i]} texts`).join(', ')}${folds.crossFitted ? ', cross-fitted' : ''}`,
    ],
    ['seed', seed],
    ['permutations, bootstraps', `${count(permutations)}, ${count(bootstraps)}`],
  ];
  return whatWasRun(facts, manifest);
}
