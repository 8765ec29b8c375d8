/** @file The evaluation of a sparse autoencoder as one self-contained HTML file. */
import * as Plot from '@observablehq/plot';
import { POLES } from '../moral/foundation.js';
import {
  ABLATIONS,
  ARMS,
  type Arm,
  type EvalFigure,
  type MeasuredStates,
  PROBE_SIZES,
  type Probe,
  type Probing,
  type Reconstruction,
  type SaeEval,
  type Splice,
} from '../sae/eval/schema.js';
import { draw } from './drawing.js';
import { decimal, tickText } from './figure-text.js';
import { html, type Markup, type Part } from './markup.js';
import { captioned, page, type Section, scrollingTable } from './page.js';
import { whatWasRun } from './what-was-run.js';

const NAMES: Record<Arm, string> = { sae: 'this autoencoder', random: 'random directions', pca: 'principal components' };
const COLOURS: Record<Arm, string> = { sae: 'var(--value)', random: 'var(--second)', pca: 'var(--third)' };
const KINDS: Record<MeasuredStates['states'], string> = {
  tokens: 'states of tokens',
  last: 'states of the last token',
  content: 'means over content tokens',
  mean: 'means over all tokens',
};

const count = (n: number) => n.toLocaleString('en-US');
const th = (text: Part) => html`<th scope="col">${text}</th>`;

/** Enough digits for the size of the number: errors may be large, shares are small. */
function number(value: number): string {
  if (Math.abs(value) >= 1000) return count(Math.round(value));
  return decimal(value, Math.abs(value) >= 10 ? 1 : 3);
}

function cell(figure: EvalFigure, shown: (value: number) => string = number): Markup {
  if (figure.value === null) return html`<td class="none">empty: ${figure.why ?? 'no reason given'}</td>`;
  const interval = figure.ci95 && `[${figure.ci95.map((end) => shown(end)).join(', ')}]`;
  return html`<td class="number"><b>${shown(figure.value)}</b>${interval && html` <small>${interval}</small>`}</td>`;
}

const ROWS: readonly [string, (of: Reconstruction) => EvalFigure][] = [
  ['FVU', ({ fvu }) => fvu],
  ['explained variance', ({ explainedVariance }) => explainedVariance],
  ['mean squared error', ({ mse }) => mse],
  ['L0', ({ l0 }) => l0],
  ['share of dead latents', ({ dead }) => dead],
  ['cosine, centred', ({ centred }) => centred.cosine],
  ['length ratio, centred', ({ centred }) => centred.l2Ratio],
  ['reconstruction bias, centred', ({ centred }) => centred.bias],
  ['cosine', ({ uncentred }) => uncentred.cosine],
  ['length ratio', ({ uncentred }) => uncentred.l2Ratio],
  ['reconstruction bias', ({ uncentred }) => uncentred.bias],
];

function legend(arms: readonly Arm[]): Markup {
  return html`<ul class="legend">${arms.map(
    (arm) =>
      html`<li><svg class="swatch" viewBox="0 0 30 12" aria-hidden="true"><path d="M0 6H30" stroke="${COLOURS[arm]}" stroke-width="3"/></svg> ${NAMES[arm]}</li>`,
  )}</ul>`;
}

/** Outlines of histograms, so that several can be told apart where they overlap. */
function outlines(
  label: string,
  of: readonly (readonly [Arm, readonly { from: number; to: number; count: number }[]])[],
  x: string,
): Markup {
  const used = of.flatMap(([, bins]) => bins.filter((bin) => bin.count > 0));
  if (used.length === 0) return html`<p class="none">No latent is left to draw.</p>`;
  const domain = [Math.min(...used.map((b) => b.from)), Math.max(...used.map((b) => b.to))];
  const marks = of.flatMap(([arm, all]) => {
    const total = all.reduce((sum, bin) => sum + bin.count, 0);
    const bins = all.filter(({ from, to }) => from >= domain[0] && to <= domain[1]);
    if (total === 0) return [];
    const corners = bins.flatMap(({ from, to, count: n }) => [
      { x: from, y: n / total },
      { x: to, y: n / total },
    ]);
    const outline = [{ x: domain[0], y: 0 }, ...corners, { x: domain[1], y: 0 }];
    const filled = arm === 'sae' ? [Plot.areaY(corners, { x: 'x', y1: 0, y2: 'y', fill: COLOURS.sae, fillOpacity: 0.22 })] : [];
    return [...filled, Plot.line(outline, { x: 'x', y: 'y', stroke: COLOURS[arm], strokeWidth: arm === 'sae' ? 2 : 1.4 })];
  });
  const picture = draw(label, {
    width: 480,
    height: 230,
    marginLeft: 44,
    marginBottom: 34,
    x: { label: x, labelAnchor: 'center', labelArrow: 'none', tickFormat: tickText, domain, ticks: 7 },
    y: { label: 'share of the latents', labelArrow: 'none', grid: true, tickFormat: tickText, ticks: 5, zero: true },
    marks: [...marks, Plot.ruleY([0])],
  });
  return html`<div class="narrow">${picture}</div>`;
}

function kind(measured: MeasuredStates): Section {
  const { states, n, texts, sinks, stride, arms } = measured;
  const { l0Quantiles: q, density } = arms.sae;
  const alive = density.reduce((sum, bin) => sum + bin.count, 0);
  const left = states === 'tokens' ? ` ${count(sinks)} sink tokens were left out, as in training.` : '';
  const sampled = stride > 1 ? ` One state in ${stride} was taken.` : '';
  return {
    id: `states-${states}`,
    name: `On ${KINDS[states]}`,
    title: `On ${KINDS[states]}`,
    body: html`<p class="how">${count(n)} states of ${count(texts)} texts.${left}${sampled} The two baselines have the same L0, rounded, and are fitted on
these very states, which favours them.</p>
${scrollingTable(
  'Reconstruction',
  html`${th('measure')}${ARMS.map((arm) => th(NAMES[arm]))}`,
  ROWS.map(([name, of]) => html`<tr><th scope="row">${name}</th>${ARMS.map((arm) => cell(of(arms[arm])))}</tr>\n`),
)}
<p class="how">Active latents of this autoencoder: ${
      q.min === q.max
        ? `${q.min} in every state`
        : `median ${q.median}, half of the states between ${q.q25} and ${q.q75}, 90% between ${q.q05} and ${q.q95}, all between ${q.min} and ${q.max}`
    }.</p>
${captioned(
  html`<b>How often latents fire.</b> Each latent by the logarithm (base 10) of the share of these states that activate it; −2 is one state in a hundred. ${count(alive)} latents fire at all;
the others are the dead ones of the table.`,
  html`${outlines(
    'Density of latents',
    [
      ['sae', density],
      ['random', arms.random.density],
    ],
    'log10 of the share of states',
  )}${legend(['sae', 'random'])}`,
)}`,
  };
}

function decoder({ decoderCosines: { sae, random } }: SaeEval): Section {
  const row = (arm: Arm, { mean, quantiles: q }: SaeEval['decoderCosines']['sae']) =>
    html`<tr><th scope="row">${NAMES[arm]}</th>${cell(mean)}${
      q
        ? [q.q05, q.median, q.q95, q.max].map((value) => html`<td class="number">${decimal(value, 3)}</td>`)
        : html`<td colspan="4"></td>`
    }</tr>\n`;
  return {
    id: 'decoder',
    name: 'Decoder',
    title: 'How alike decoder directions are',
    body: html`<p class="how">Of every latent the largest cosine of its decoder row with another latent's. Near 1: two latents write the same.</p>
${scrollingTable(
  'Largest decoder cosines',
  html`${['', 'mean', '5%', 'median', '95%', 'largest'].map(th)}`,
  html`${row('sae', sae)}${row('random', random)}`,
)}
${captioned(
  html`<b>Largest cosine with another decoder row.</b> As many random directions show what the number of latents alone makes.`,
  html`${outlines(
    'Largest decoder cosines',
    [
      ['sae', sae.histogram],
      ['random', random.histogram],
    ],
    'largest cosine',
  )}${legend(['sae', 'random'])}`,
)}`,
  };
}

function recoveredRows({ arms }: Splice): [string, (arm: Arm) => EvalFigure][] {
  return ABLATIONS.flatMap((a): [string, (arm: Arm) => EvalFigure][] => [
    [`CE recovered, ${a} ablation`, (arm) => arms[arm][a].ceRecovered],
    [`KL score, ${a} ablation`, (arm) => arms[arm][a].klScore],
  ]);
}

function spliced(splice: Splice): Section {
  const losses: [string, { ce: EvalFigure; kl?: EvalFigure }][] = [
    ['the model untouched', splice.original],
    ...ARMS.map((arm): [string, Splice['arms']['sae']] => [`with ${NAMES[arm]}`, splice.arms[arm]]),
    ...ABLATIONS.map((a): [string, Splice['ablations']['zero']] => [`${a} ablation`, splice.ablations[a]]),
  ];
  return {
    id: 'splice',
    name: 'In the model',
    title: 'Spliced into the model',
    body: html`<p class="how">${count(splice.texts)} texts (${splice.source}), ${count(splice.tokens)} tokens, ${count(splice.predicted)} of them predicted: all but the first of each text. At the
autoencoder's site the states are replaced by their reconstructions; by zeros or by their mean in the two ablations. Sink tokens, ${
      splice.untouched.value === null ? 'none' : `${decimal(100 * splice.untouched.value, 1)}%`
    } of all, are left as they are everywhere.</p>
${scrollingTable(
  'Recovered',
  html`${th('')}${ARMS.map((arm) => th(NAMES[arm]))}`,
  recoveredRows(splice).map(([name, of]) => html`<tr><th scope="row">${name}</th>${ARMS.map((arm) => cell(of(arm)))}</tr>\n`),
)}
<p class="how">1: nothing is lost; 0: as bad as the ablation. CE recovered is (CE ablated − CE spliced) / (CE ablated − CE untouched), the KL score (KL ablated − KL spliced) / KL ablated.</p>
<h3>Cross-entropy and divergence, nats a token</h3>
${scrollingTable(
  'Losses',
  html`${['', 'cross-entropy', 'KL from the untouched model'].map(th)}`,
  losses.map(
    ([name, { ce, kl }]) =>
      html`<tr><th scope="row">${name}</th>${cell(ce)}${kl ? cell(kl) : html`<td class="number">0</td>`}</tr>\n`,
  ),
)}`,
  };
}

const VIEWS: Record<Probing['states'], string> = {
  last: 'Latents of the last token',
  content: 'Latents averaged over content tokens',
};

function probed(views: readonly Probing[], corpus: SaeEval['corpus']): Section {
  return {
    id: 'probing',
    name: 'Sparse probing',
    title: 'What few latents tell of the ten poles',
    body: html`<p class="how">AUC on held-out texts of ${corpus?.name ?? 'the corpus'}${corpus?.authored ? ' (authored, not human judgments)' : ''}: texts with a judgment on the pole against the other
texts of its foundation, so that the topic alone tells nothing; .5 is chance. The best latents are chosen, and a logistic regression on them fitted, on training texts; beside them as many raw channels of the
residual, chosen alike, and a ridge on all of them.</p>
${views.map((view) => html`<h3>${VIEWS[view.states]}</h3>${curves(view)}${probeTable(view)}`)}`,
  };
}

/** Mean AUC by number of columns. */
function curves({ states, mean }: Probing): Markup {
  const points = PROBE_SIZES.flatMap((k) => [
    { k, value: mean.latents[k].value, arm: 'sae' as const },
    { k, value: mean.channels[k].value, arm: 'random' as const },
  ]).filter(({ value }) => value !== null);
  if (points.length === 0) return html`<p class="none">No pole has enough texts.</p>`;
  const all = mean.residual.value;
  const picture = draw(`Mean AUC over the poles, ${VIEWS[states]}`, {
    width: 480,
    height: 220,
    marginLeft: 44,
    marginRight: 96,
    marginBottom: 34,
    x: {
      type: 'log',
      domain: [1, 10],
      ticks: [...PROBE_SIZES],
      tickFormat: String,
      label: 'columns that the probe may use',
      labelAnchor: 'center',
      labelArrow: 'none',
    },
    y: { label: 'mean AUC over the poles', labelArrow: 'none', grid: true, tickFormat: tickText, ticks: 5 },
    marks: [
      Plot.ruleY([0.5], { strokeOpacity: 0.6 }),
      all === null ? null : Plot.ruleY([all], { stroke: 'var(--third)', strokeDasharray: '5 3', strokeWidth: 1.6 }),
      all === null
        ? null
        : Plot.text([all], {
            y: (y: number) => y,
            frameAnchor: 'right',
            textAnchor: 'start',
            dx: 6,
            text: () => 'all channels',
            fill: 'var(--third)',
          }),
      ...(['sae', 'random'] as const).map((arm) => {
        const own = points.filter((point) => point.arm === arm);
        return [
          Plot.line(own, { x: 'k', y: 'value', stroke: COLOURS[arm], strokeWidth: 1.8 }),
          Plot.dot(own, { x: 'k', y: 'value', fill: COLOURS[arm], r: 3.2 }),
          Plot.text(own.slice(-1), {
            x: 'k',
            y: 'value',
            dx: 8,
            textAnchor: 'start',
            text: () => (arm === 'sae' ? 'latents' : 'raw channels'),
            fill: COLOURS[arm],
          }),
        ];
      }),
    ],
  });
  return captioned(html`<b>Mean AUC over the poles by number of columns.</b>`, html`<div class="narrow">${picture}</div>`);
}

function probeTable({ perPole, mean }: Probing): Markup {
  const cells = ({ latents, channels, residual }: Pick<Probe, 'latents' | 'channels' | 'residual'>) =>
    html`${PROBE_SIZES.map((k) => cell(latents[k], decimal))}${[1, 5, 10].map((k) => cell(channels[k as 1 | 5 | 10], decimal))}${cell(residual, decimal)}`;
  return scrollingTable(
    'Sparse probing by pole',
    html`${th('pole')}${th('test texts')}${PROBE_SIZES.map((k) => th(`${k} latent${k > 1 ? 's' : ''}`))}${[1, 5, 10].map((k) =>
      th(`${k} channel${k > 1 ? 's' : ''}`),
    )}${th('all channels')}`,
    html`${POLES.map((pole) => {
      const probe = perPole[pole];
      const sizes = `${probe.test.positive} / ${probe.test.negative}`;
      if (probe.residual.value === null && probe.chosen.length === 0)
        return html`<tr><th scope="row">${pole}</th><td>${sizes}</td><td class="none" colspan="8">empty: ${probe.residual.why ?? 'no reason given'}</td></tr>\n`;
      return html`<tr><th scope="row">${pole}</th><td class="number">${sizes}</td>${cells(probe)}</tr>\n`;
    })}<tr><th scope="row">mean</th><td></td>${cells(mean)}</tr>`,
  );
}

function empty(id: string, title: string, why: string): Section {
  return { id, name: title, title, body: html`<p class="none">Empty: ${why}.</p>` };
}

function overview(evaluation: SaeEval): Section {
  const { reconstruction, splice } = evaluation;
  const [first] = reconstruction;
  const rows: [string, (arm: Arm) => EvalFigure][] = reconstruction.map(({ states, arms }) => [
    `FVU, ${KINDS[states]}`,
    (arm) => arms[arm].fvu,
  ]);
  rows.push(['L0', (arm) => first.arms[arm].l0], ['share of dead latents', (arm) => first.arms[arm].dead]);
  if ('arms' in splice) rows.push(...recoveredRows(splice));
  return {
    id: 'overview',
    name: 'Overview',
    title: 'Overview',
    body: html`<p class="how">FVU is the share of the states' variance that is lost: the squared error over the squared distance from the mean, both summed over all states first. Brackets hold 95%
intervals, from drawing texts again ${evaluation.bootstraps} times.</p>
${scrollingTable(
  'Overview',
  html`${th('')}${ARMS.map((arm) => th(NAMES[arm]))}`,
  rows.map(([name, of]) => html`<tr><th scope="row">${name}</th>${ARMS.map((arm) => cell(of(arm)))}</tr>\n`),
)}`,
  };
}

function run(evaluation: SaeEval): Section {
  const { sae, model, site, template, corpus, seed, bootstraps, sinkThreshold } = evaluation;
  const facts: [string, Part][] = [
    [
      'autoencoder',
      `${sae.path} (${sae.format}): ${sae.architecture}, ${count(sae.width)} latents of ${count(sae.dIn)} channels${sae.k === null ? '' : `, k ${sae.k}`}`,
    ],
    [
      'its model, as it says',
      sae.modelSha256 === null
        ? (sae.modelName ?? 'it does not say')
        : html`${sae.modelName ?? ''} <code>${sae.modelSha256}</code>`,
    ],
    ['model of the activations', html`${model.name}, ${model.precision} <code>${model.sha256}</code>`],
    ['site', html`<code>${site.name}</code>`],
    ['template', html`<code>${template}</code>`],
    ['corpus', corpus ? html`${corpus.name} <code>${corpus.sha256}</code>` : 'none'],
    ['a sink is', `the first token of a text, or one whose state is longer than ${number(sinkThreshold)}`],
    ['seed, bootstraps', `${seed}, ${bootstraps}`],
  ];
  return whatWasRun(facts, evaluation.manifest);
}

/** One HTML document with its pictures inside. The same evaluation gives the same bytes. */
export function renderSaeEvalReport(evaluation: SaeEval): string {
  const { sae, model, site, splice, probing, corpus } = evaluation;
  const header = html`<p class="eyebrow">moralscope: quality of a sparse autoencoder</p>
<h1>${sae.path}</h1>
<p class="facts">${model.name} · ${site.name} · ${sae.architecture} · ${count(sae.width)} latents</p>`;
  return page(`${sae.path}: quality`, header, [
    overview(evaluation),
    ...evaluation.reconstruction.map(kind),
    decoder(evaluation),
    'why' in splice ? empty('splice', 'Spliced into the model', splice.why) : spliced(splice),
    'why' in probing ? empty('probing', 'Sparse probing', probing.why) : probed(probing, corpus),
    run(evaluation),
  ]);
}
