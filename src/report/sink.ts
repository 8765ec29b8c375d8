import * as Plot from '@observablehq/plot';
import type { Diagnosis, LayerDiagnosis, Pooling } from '../diagnosis/schema.js';
import { draw } from './drawing.js';
import { decimal, tickText } from './figure-text.js';
import { continuousLayerAxis, layerHover } from './layer-axis.js';
import { html, type Markup } from './markup.js';
import { captioned, type Section } from './page.js';
import { POOLING_NAMES, poolingsOf } from './pooling-panels.js';
import { lineSwatch } from './swatch.js';

const STYLES: Record<Pooling, { stroke: string; dash: string }> = {
  last: { stroke: 'var(--value)', dash: 'none' },
  content: { stroke: 'var(--third)', dash: '2 2' },
  mean: { stroke: 'var(--second)', dash: '6 3' },
};

const RATIOS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];

interface LinePanel {
  title: string;
  lines: { stroke: string; dash: string; name: string; points: { layer: number; value: number | null }[] }[];
  /** Of the vertical axis; a ratio is drawn on a logarithmic one. */
  y: Plot.ScaleOptions;
  reference: number;
}

function linePanel({ title, lines, y, reference }: LinePanel): Markup {
  const layers = lines[0].points.map((p) => p.layer);
  const picture = draw(`${title}, by layer`, {
    width: 320,
    height: 172,
    marginLeft: 38,
    marginRight: 8,
    marginTop: 10,
    marginBottom: 32,
    x: continuousLayerAxis(layers),
    y: { label: null, grid: true, ticks: 5, tickFormat: tickText, tickSize: 3, ...y },
    marks: [
      Plot.ruleY([reference], { strokeOpacity: 0.6 }),
      ...lines.map(({ stroke, dash, points }) => [
        Plot.lineY(points, { x: 'layer', y: 'value', stroke, strokeDasharray: dash, strokeWidth: 2 }),
        Plot.dot(points, { x: 'layer', y: 'value', fill: stroke, r: points.length === 1 ? 3 : 1.5 }),
      ]),
      layerHover(layers, (i) =>
        lines.map(({ name, points }) => {
          const value = points[i]?.value ?? null;
          return `${name}: ${value === null ? 'empty' : decimal(value)}`;
        }),
      ),
    ],
  });
  return html`<div class="panel"><h4>${title}</h4>${picture}</div>`;
}

/** The attention sink and what it does to pooled states, layer by layer (docs/paper.md section 2). */
export function sinkSection(diagnosis: Diagnosis): Section {
  const poolings = poolingsOf(diagnosis);
  const lines = (value: (l: LayerDiagnosis) => number | null) =>
    poolings.map(([pooling, { layers }]) => ({
      ...STYLES[pooling],
      name: POOLING_NAMES[pooling],
      points: layers.map((l) => ({ layer: l.layer, value: value(l) })),
    }));
  const share = { domain: [0, 1] };
  const ratios = poolings[0]?.[1].layers.map((l) => ({ layer: l.layer, value: l.sink.ratio })) ?? [];
  const known = ratios.flatMap((r) => (r.value === null ? [] : [r.value]));
  const legend = html`<ul class="legend">${poolings.map(([pooling]) => {
    const { stroke, dash } = STYLES[pooling];
    return html`<li>${lineSwatch(stroke, 2, dash)} ${POOLING_NAMES[pooling]}</li>`;
  })}</ul>`;
  return {
    id: 'sink',
    name: 'Sink',
    title: 'The attention sink: does pooling measure morality, or length?',
    body: html`<p class="how">The first token of most decoders is a dump for attention: its state is many times as long as the others’ and nearly the
same in every text. A mean over all tokens divides it by the text’s length, so the pooled state becomes a measure of <em>length</em>. Where the
sink is strong and one component holds nearly all variance, figures of the pooling “${POOLING_NAMES.mean}” say little about morality; the last
token and the content tokens are the ones to trust.</p>
${
  poolings.length === 0
    ? html`<p class="none">Empty: no layer was diagnosed.</p>`
    : captioned(
        html`<b>How strong the sink is, and what it does to each pooling.</b> The variances are shares of all
variance of the pooled states. The cosines are means over random pairs of texts: near 1 before centring, all states point the same way.`,
        html`<div class="grid">${
          known.length === 0
            ? html`<div class="panel"><h4>Sink ratio</h4><p class="none">Empty: the first token’s norm was not measured.</p></div>`
            : linePanel({
                title: 'First token’s norm, times the others’ (log)',
                lines: [{ stroke: 'var(--ink)', dash: 'none', name: 'ratio', points: ratios }],
                y: {
                  type: 'log',
                  domain: [Math.min(1, ...known), Math.max(10, ...known) * 1.1],
                  ticks: RATIOS.filter((r) => r <= Math.max(10, ...known)),
                  tickFormat: (v: number) => `${v}×`,
                },
                reference: 1,
              })
        }
${linePanel({ title: 'Variance that 1 / length explains', lines: lines((l) => l.sink.lengthShare), y: share, reference: 0 })}
${linePanel({ title: 'Variance on the first component', lines: lines((l) => l.sink.firstComponent), y: share, reference: 0 })}
${linePanel({ title: 'Cosine of random texts, before centring', lines: lines((l) => l.anisotropy.raw), y: {}, reference: 0 })}
${linePanel({ title: 'Cosine of random texts, after centring', lines: lines((l) => l.anisotropy.centred), y: {}, reference: 0 })}
<div class="panel"><h4>Poolings</h4>${legend}</div></div>`,
      )
}`,
  };
}
