/** @file A training run of sparse autoencoders as one self-contained HTML file. */
import * as Plot from '@observablehq/plot';
import type { Manifest } from '../artifact/manifest.js';
import type { TrainedSummary } from '../sae/train.js';
import type { StepMetrics } from '../sae/training.js';
import { draw } from './drawing.js';
import { html, type Markup } from './markup.js';
import { heads, page, type Section, scrollingTable } from './page.js';

export interface TrainingRun {
  manifest: Manifest;
  saes: readonly TrainedSummary[];
  /** Lines of metrics.jsonl by folder. */
  metrics: Readonly<Record<string, readonly StepMetrics[]>>;
}

const PANELS = [
  { of: 'fvu', title: 'FVU of the batch', log: true },
  { of: 'l0', title: 'L0: active latents a state', log: false },
  { of: 'dead', title: 'share of dead latents', log: false },
  { of: 'aux', title: 'FVU of AuxK on the residual', log: false },
  { of: 'gradientNorm', title: 'gradient norm before clipping', log: true },
  { of: 'learningRate', title: 'learning rate', log: false },
] as const satisfies readonly { of: keyof StepMetrics; title: string; log: boolean }[];

const COLOURS = ['var(--value)', 'var(--second)', 'var(--third)', 'var(--fourth)'];
const DASHES = ['none', '5 3', '1.5 2.5', '8 2 2 2'];
/** Points of a curve that is longer are means of neighbours. */
const POINTS = 240;

interface Point {
  tokens: number;
  value: number;
}

function curve(metrics: readonly StepMetrics[], of: keyof StepMetrics): Point[] {
  const size = Math.ceil(metrics.length / POINTS);
  const points: Point[] = [];
  for (let from = 0; from < metrics.length; from += size) {
    const part = metrics.slice(from, from + size);
    const mean = (name: keyof StepMetrics) => part.reduce((sum, m) => sum + m[name], 0) / part.length;
    points.push({ tokens: mean('tokens'), value: mean(of) });
  }
  return points;
}

function panel({ of, title, log }: (typeof PANELS)[number], saes: readonly TrainedSummary[], run: TrainingRun): Markup {
  const lines = saes.map(({ folder }) => curve(run.metrics[folder] ?? [], of).filter(({ value }) => !log || value > 0));
  const picture = draw(`${title} over states seen`, {
    width: 320,
    height: 190,
    marginLeft: 46,
    x: { label: 'states seen', ticks: 4, tickFormat: 's' },
    y: { label: null, ticks: 5, grid: true, ...(log ? { type: 'log', tickFormat: '.2~g' } : { zero: true, tickFormat: '.2~g' }) },
    marks: lines.map((points, i) =>
      Plot.line(points, {
        x: 'tokens',
        y: 'value',
        stroke: COLOURS[i % COLOURS.length],
        strokeDasharray: DASHES[i % DASHES.length],
        strokeWidth: 1.6,
      }),
    ),
  });
  return html`<div class="panel"><h4>${title}</h4>${picture}</div>`;
}

function layerSection(layer: number, run: TrainingRun): Section {
  const saes = run.saes.filter((sae) => sae.layer === layer);
  const legend = saes.map(
    (
      { folder },
      i,
    ) => html`<li><svg class="swatch" viewBox="0 0 30 12" aria-hidden="true"><path d="M0 6H30" stroke="${COLOURS[i % COLOURS.length]}"
stroke-width="2" stroke-dasharray="${DASHES[i % DASHES.length]}"/></svg> ${folder}</li>`,
  );
  return {
    id: `layer-${layer}`,
    name: `Layer ${layer}`,
    title: `Layer ${layer}`,
    body: html`<ul class="legend">${legend}</ul>
<div class="grid">${PANELS.map((each) => panel(each, saes, run))}</div>`,
  };
}

function results({ saes }: TrainingRun): Section {
  return {
    id: 'results',
    name: 'Results',
    title: 'What was trained',
    body: html`<p class="how">Measured on the states that came next after the last step. FVU is the share of the variance that is lost:
the squared error over the squared distance from the mean, both summed over all states first. Dead: silent over the window stated in the metadata.</p>
${scrollingTable(
  'Autoencoders',
  heads(['autoencoder', 'kept as', 'latents', 'FVU', 'explained variance', 'L0', 'dead']),
  saes.map(
    ({
      folder,
      architecture,
      width,
      fvu,
      l0,
      dead,
    }) => html`<tr><th scope="row">${folder}</th><td>${architecture}</td><td>${width}</td>
<td>${fvu.toFixed(4)}</td><td>${(1 - fvu).toFixed(4)}</td><td>${l0.toFixed(1)}</td><td>${(100 * dead).toFixed(1)}%</td></tr>\n`,
  ),
)}`,
  };
}

/** One HTML document with its curves inside. The same run gives the same bytes. */
export function renderTrainingReport(run: TrainingRun): string {
  const { details } = run.manifest;
  const { name } = details.model as { name: string };
  const facts = [
    `${run.saes.length} autoencoders`,
    `${Number(details.states).toLocaleString('en-US')} states`,
    `${Number(details.epochs).toFixed(2)} epochs`,
  ];
  const header = html`<p class="eyebrow">moralscope: sparse autoencoders</p>
<h1>${name}</h1>
<p class="facts">${facts.join(' · ')}</p>`;
  const layers = [...new Set(run.saes.map(({ layer }) => layer))];
  const manifest: Section = {
    id: 'run',
    name: 'What was run',
    title: 'What was run',
    body: html`<details open><summary>Manifest</summary><pre>${JSON.stringify(run.manifest, null, 2)}</pre></details>`,
  };
  return page(`${name}: sparse autoencoders`, header, [
    results(run),
    ...layers.map((layer) => layerSection(layer, run)),
    manifest,
  ]);
}
