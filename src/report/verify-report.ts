/** @file A remedy, verified, as one self-contained HTML file. */
import type { Manifest } from '../artifact/manifest.js';
import type { Estimate, Outcome, Rediagnosed, Said, Verification, VerifiedSet } from '../evaluation/schema.js';
import { type EstimateRow, estimateRows, estimateText, spreadText } from './estimate-rows.js';
import { decimal, figureCell, probabilityText } from './figure-text.js';
import { html, type Markup, type Part } from './markup.js';
import { captioned, heads, page, type Section, scrollingTable } from './page.js';
import { CONTROLS, paretoPlot, strengthCurve } from './remedy-curves.js';
import { symbolSwatch } from './swatch.js';
import { whatWasRun } from './what-was-run.js';

const count = (n: number) => n.toLocaleString('en-US');

/** The verdict first, then what it stands on: what is said, over strength and against damage, what is known, the geometry, the run. */
export function renderVerification(verification: Verification, manifest: Manifest): string {
  return page(`${verification.model.name}: a remedy verified`, header(verification), [
    setsSection(verification),
    saysSection(verification),
    strengthSection(verification),
    damageSection(verification),
    ...(verification.rediagnosis ? [rediagnosisSection(verification)] : []),
    runSection(verification, manifest),
  ]);
}

function header({ model, remedy, verdict, choice, sets, notes, positions }: Verification): Markup {
  const facts = [
    ...(choice.chosen.mode === null
      ? ['a prompt before each text']
      : [
          `${remedy.kind} remedy at ${choice.chosen.sites.join(', ')}`,
          `mode ${choice.chosen.mode}, strength ${choice.chosen.strength}`,
          positions === 'last' ? 'readout with the last token changed' : 'readout with all tokens changed',
        ]),
    remedy.fittedOn ? `fitted on ${remedy.fittedOn.name}` : 'fitted on no data set',
  ];
  return html`<p class="eyebrow">moralscope: what a remedy does, beside its controls</p>
<h1>${model.name}</h1>
<p class="facts">${facts.join(' · ')}</p>
${
  sets.some(({ authored }) => authored === true) &&
  html`<p class="notice"><b>Authored, not human judgments.</b> The judgments of ${sets
    .filter(({ authored }) => authored === true)
    .map(({ name }) => name)
    .join(', ')} were written by its authors. They show how the method works; what people judge may differ.</p>`
}
<p class="summary">${verdict.text}</p>
${notes.map((note) => html`<p class="how">${note}</p>`)}`;
}

const OUTCOMES: Readonly<Record<Outcome, { text: string; good: boolean }>> = {
  better: { text: '● above controls and floors', good: true },
  'not above floors': { text: '○ above controls, not above floors', good: false },
  'not above controls': { text: '○ no better than controls', good: false },
  'no controls': { text: '○ better, without controls', good: false },
  'no floors': { text: '○ above controls, a floor missing', good: false },
  'bias only': { text: '○ shifts the bias alone', good: false },
  worse: { text: '× worse', good: false },
  nothing: { text: '○ no change seen', good: false },
  empty: { text: '× not measured', good: false },
};

function setsSection({ sets }: Verification): Section {
  return {
    id: 'sets',
    name: 'Data sets',
    title: 'On each data set',
    body: html`<p class="how">What counts as repair is what holds on another data set than the one fitted on. Points are AUC of good against bad texts with
95% intervals, hollow where something was fitted to this data set’s own texts and judged on others (carried: to those of the one that the remedy was fitted on); grey bands are the middle 95% of the controls, the tick their mean.</p>
<ol class="verdicts">${sets.map(setCard)}</ol>`,
  };
}

function setCard(set: VerifiedSet): Markup {
  const { name, relation, outcome, before, after, controls, floors, knows, carried, n, told } = set;
  const { text, good } = OUTCOMES[outcome];
  const rows: EstimateRow[] = [
    { name: 'says, before', estimate: before.auc },
    { name: 'says, with the remedy', estimate: after.auc },
    ...controls.map(({ kind, n: of, auc }) => ({ name: `${kind} (${of})`, controls: auc })),
    { name: 'bag of words', estimate: floors.bagOfWords, hollow: true },
    { name: 'recalibrated readout', estimate: floors.recalibrated, hollow: true },
    ...(carried ? [{ name: `carried: probe, layer ${knows.layer}`, estimate: carried, hollow: true }] : []),
    { name: `knows: probe, layer ${knows.layer}`, estimate: knows.auc, hollow: true },
  ];
  return html`<li class="verdict set ${good ? 'apart' : 'chance'}">
<div><h3>${name}</h3><p class="how">${relation}</p><p class="against">${count(n.texts)} texts${n.pairs !== undefined && `, ${count(n.pairs)} pairs`}:
${count(n.virtues)} good, ${count(n.vices)} bad${n.neutrals > 0 && `, ${count(n.neutrals)} neither`}</p><p class="outcome">${text}</p></div>
<div>${estimateRows(`${name}, AUC`, rows, 0.5)}
<details><summary>In words</summary><p class="told">${told}</p></details></div>
</li>`;
}

const FLOORS = [
  ['bagOfWords', 'bag of words'],
  ['recalibrated', 'readout recalibrated'],
] as const;

const MEASURES: readonly { of: keyof Said; name: string; digits: number }[] = [
  { of: 'auc', name: 'AUC', digits: 3 },
  { of: 'spearman', name: 'Spearman with the judgment', digits: 3 },
  { of: 'pairsRight', name: 'pairs right', digits: 3 },
  { of: 'bias', name: 'bias, nats', digits: 2 },
];

function cell(estimate: Estimate | undefined, digits: number): Markup {
  if (!estimate) return html`<td>–</td>`;
  if (estimate.value === null) return html`<td class="none">${estimateText(estimate)}</td>`;
  const { value, ci95 } = estimate;
  return html`<td class="number"><b>${decimal(value, digits)}</b>${ci95 && html` <small>[${decimal(ci95[0], digits)}, ${decimal(ci95[1], digits)}]</small>`}</td>`;
}

const probabilityCell = (p: number | undefined) => html`<td class="number">${p === undefined ? '–' : probabilityText(p)}</td>`;

function saysSection({ sets, choice }: Verification): Section {
  const rows = sets.flatMap((set) =>
    MEASURES.filter(({ of }) => set.before[of]).map(
      ({ of, name, digits }, i) => html`<tr>${i === 0 ? html`<th scope="row">${set.name}</th>` : html`<td></td>`}<td>${name}</td>
${cell(set.before[of], digits)}${cell(set.after[of], digits)}${cell(set.change[of], digits)}${probabilityCell(set.change[of]?.p)}</tr>\n`,
    ),
  );
  const controls = sets.flatMap((set) =>
    set.controls.map(
      (
        { kind, n, auc, bias, pairsRight, bar, p },
        i,
      ) => html`<tr>${i === 0 ? html`<th scope="row">${set.name}</th>` : html`<td></td>`}<td>${CONTROLS[kind].name}</td><td>${n}</td>
<td class="number"><b>${decimal(auc.mean, 3)}</b> <small>${spreadText(auc, 3)}</small></td><td class="number">${decimal(bar, 3)}</td><td class="number">${probabilityText(p)}</td>
<td class="number">${pairsRight ? spreadText(pairsRight, 3) : '–'}</td><td class="number">${spreadText(bias)}</td></tr>\n`,
    ),
  );
  const gaps = sets.map(
    (set) =>
      html`<tr><th scope="row">${set.name}</th>${cell(set.before.auc, 3)}${cell(set.after.auc, 3)}${cell(set.knows.auc, 3)}${cell(
        set.carried,
        3,
      )}${cell(set.gap, 3)}${probabilityCell(set.gap.p)}${cell(set.gapClosed, 2)}</tr>\n`,
  );
  const floors = sets.flatMap((set) =>
    FLOORS.map(
      ([floor, name], i) =>
        html`<tr>${i === 0 ? html`<th scope="row">${set.name}</th>` : html`<td></td>`}<td>${name}</td>${cell(set.floors[floor], 3)}${cell(
          set.aboveFloors[floor],
          3,
        )}${probabilityCell(set.aboveFloors[floor].p)}<td>${i === 0 && count(set.n.training)}</td></tr>\n`,
    ),
  );
  return {
    id: 'says',
    name: 'Says and knows',
    title: 'What it says, before and after, and what is known',
    body: html`<p class="how"><em>Discrimination</em> (AUC, rank correlation, pairs right) and <em>bias</em> are never mixed: a remedy that moves the bias alone repairs
nothing. All intervals are of one bootstrap over texts (pairs), so that before, after, probe and floors are compared draw by draw; p of a change is two-sided, p of the controls is the
share of them that does as well.</p>
${scrollingTable('Says', heads(['data set', 'of the readout', 'before', `at strength ${choice.chosen.strength}`, 'change', 'p']), rows)}
<h3>Controls at the same strength</h3>
${
  choice.chosen.mode === 'project' &&
  html`<p class="how">Of this kind of remedy a random control reads of a state what the remedy itself reads, and writes it along a random direction; a shuffled one was fitted
to exchanged judgments and reads something else.</p>`
}
${
  controls.length === 0
    ? html`<p class="none">The remedy was made without controls (align --controls).</p>`
    : scrollingTable(
        'Controls',
        heads(['data set', 'control', 'number', 'AUC: mean, middle 95%', 'bar', 'p', 'pairs right', 'bias']),
        controls,
      )
}
<h3>Gap closed</h3>
<p class="how">(says after − says before) / (knows − says before), by AUC. Knows: a linear probe of the last token’s states, judged on texts it was not fitted on.
Carried: such a probe, fitted where the remedy was. A direction learnt there that tells nothing here cannot help here.</p>
${scrollingTable('Gap closed', heads(['data set', 'says, before', 'says, after', 'knows', 'carried', 'gap', 'p', 'gap closed']), gaps)}
<h3>Floors</h3>
<p class="how">What can be had without touching the model, fitted on the same texts as the probe: words alone, and the untouched model’s next-token log-probabilities in a logistic regression.</p>
${scrollingTable('Floors', heads(['data set', 'floor', 'AUC', 'says, after, less it', 'p', 'texts fitted on']), floors)}`,
  };
}

function strengthSection(verification: Verification): Section {
  const { choice, sets, damage } = verification;
  const kinds = [...new Set(sets.flatMap(({ controls }) => controls.map(({ kind }) => kind)))];
  return {
    id: 'strength',
    name: 'Strength',
    title: 'Gain against damage',
    body: html`${captioned(
      html`<b>How much is gained for what damage.</b> Each point of the line is the remedy at a strength; the large one was chosen. Damage is that of the remedy active at every
position of ${damage.source}. Controls stand at the chosen strength. Up and to the left is better.`,
      html`<div class="pair">${sets.map((set) => paretoPlot(set, verification))}</div>
<ul class="legend"><li>${symbolSwatch('circle', 'var(--value)')} the remedy</li>${kinds.map(
        (kind) => html`<li>${symbolSwatch(CONTROLS[kind].symbol, CONTROLS[kind].colour)} ${CONTROLS[kind].name}</li>`,
      )}</ul>`,
    )}
${captioned(
  html`<b>How the strength was chosen.</b> AUC on ${count(choice.texts)} texts of ${choice.on} that nothing else is judged on${
    choice.maxDamage !== null && `; strengths that cost more than ${decimal(choice.maxDamage)} nats a token were left out`
  }.`,
  html`<div class="narrow">${strengthCurve(verification)}</div>`,
)}`,
  };
}

function damageSection({ damage, choice }: Verification): Section {
  const { before, remedy, controls } = damage;
  const rows = remedy.map(
    ({ strength, kl, rise, perplexity }) =>
      html`<tr><th scope="row">${strength}${strength === choice.chosen.strength && ' (chosen)'}</th>${cell(kl, 4)}${cell(rise, 4)}<td class="number">${perplexity === null ? '–' : decimal(perplexity, 2)}</td></tr>\n`,
  );
  const others = controls.map(
    ({ kind, n, kl }) =>
      html`<tr><th scope="row">${CONTROLS[kind].name} (${n})</th><td class="number"><b>${decimal(kl.mean, 4)}</b> <small>${spreadText(kl, 4)}</small></td><td class="number">${decimal(
        kl.max,
        4,
      )}</td></tr>\n`,
  );
  return {
    id: 'damage',
    name: 'Damage',
    title: 'Damage on general text',
    body: html`<p class="how">${damage.source}: ${count(damage.texts)} texts, ${count(damage.tokens)} tokens predicted by a token that the remedy changes (it is active at every
position but sinks, though the readout is taken with less). Untouched, the model’s perplexity is ${decimal(before.perplexity, 2)}.</p>
${scrollingTable('Damage', heads(['strength', 'KL, nats a token', 'rise of −log p, nats', 'perplexity']), rows)}
${controls.length > 0 && scrollingTable('Damage of controls', heads(['control at that strength', 'KL: mean, middle 95%', 'largest']), others)}`,
  };
}

const ANALYSES = [
  ['categorical', 'cosine of opposed poles; lower is better'],
  ['gradient', 'rank correlation of typicality with judgment'],
  ['structural', 'agreement of clusters with polarity (ARI)'],
  ['dimensional', 'R² of the ten moral dimensions'],
] as const;

function rediagnosisSection({ rediagnosis }: Verification): Section {
  const { on, texts, strength, controls, layers, permutations } = rediagnosis!;
  const against = ({ before, after, controls: spread }: Rediagnosed): Part =>
    html`${figureCell(before)}${figureCell(after)}${probabilityCell(before.p)}${probabilityCell(after.p)}<td class="number">${spread ? spreadText(spread) : '–'}</td>`;
  return {
    id: 'geometry',
    name: 'Geometry',
    title: 'The four analyses, before and after',
    body: html`<p class="how">On ${count(texts)} held-out texts of ${on}, the remedy at strength ${strength} on all tokens but sinks; ${
      controls.length === 0 ? 'no controls' : controls.map(({ kind, n }) => `${n} ${kind}`).join(', ')
    } beside it. Intervals draw texts again; p against ${count(permutations)} relabellings. Read changes against the last column: what controls do.</p>
${scrollingTable(
  'Before and after',
  heads(['layer', 'pooling', 'analysis', 'before', 'after', 'p before', 'p after', 'controls, middle 95%']),
  layers.flatMap((at) =>
    ANALYSES.map(
      ([analysis, meaning], i) =>
        html`<tr>${i === 0 ? html`<th scope="row">${at.layer}</th><td>${at.pooling}</td>` : html`<td></td><td></td>`}<td>${analysis} <small>${meaning}</small></td>${against(
          at[analysis],
        )}</tr>\n`,
    ),
  ),
)}`,
  };
}

function runSection(verification: Verification, manifest: Manifest): Section {
  const { model, remedy, template, positions, seed, bootstraps, words, sets } = verification;
  const facts: [string, Part][] = [
    ['model', html`${model.name}, ${model.precision}, sha256 <code>${model.sha256}</code>`],
    ['remedy', html`${remedy.kind}, ${remedy.profile} profile, sha256 of its manifest <code>${remedy.sha256}</code>`],
    ['made', remedy.summary],
    ['controls', remedy.controls.map(({ kind, n }) => `${n} ${kind}`).join(', ') || 'none'],
    ['template', html`<code>${template}</code>`],
    ['tokens changed for the readout', positions],
    ['words', words.map(([virtue, vice]) => `${virtue} / ${vice}`).join(' · ')],
    ...sets.map((set): [string, Part] => [
      set.name,
      html`${set.relation}; ${count(set.n.seen)} texts left out as seen, ${count(set.n.beyond)} for their number; sha256 <code>${set.sha256}</code>`,
    ]),
    ['seed, bootstraps', `${seed}, ${count(bootstraps)}`],
  ];
  return whatWasRun(facts, manifest);
}
