import * as Plot from '@observablehq/plot';
import type { Action, Feature, Features, Histogram } from '../alignment/features-schema.js';
import { POLES } from '../moral/foundation.js';
import { draw } from './drawing.js';
import { decimal, probabilityText, tickText } from './figure-text.js';
import { intervalRows } from './interval-rows.js';
import { html, type Markup, type Part, trusted } from './markup.js';
import { heads, scrollingTable } from './page.js';

export const cardId = (latent: number) => `latent-${latent}`;

/** A latent as a link to its card, where it has one. */
export function latentLink(latent: number, described: ReadonlySet<number>): Markup {
  return described.has(latent) ? html`<a href="#${cardId(latent)}">${latent}</a>` : html`${latent}`;
}

const PAPER_CLASSES = { weak: 'weak', mono: 'mono-semantic', poly: 'poly-semantic' } as const;

/** Everything that is known of one latent. */
export function featureCard(feature: Feature, features: Features, described: ReadonlySet<number>): Markup {
  const { latent, paper, density, encoderDecoderCosine, heldOut, neighbours } = feature;
  const held = survivingPoles(feature, features);
  const active = density.histogram.length > 0;
  const facts = [
    `active on ${percent(density.texts)} of the texts’ last states`,
    density.tokens !== null && `on ${percent(density.tokens)} of content tokens`,
    `largest z ${decimal(density.max)}`,
    encoderDecoderCosine !== null && `cosine of encoder and decoder ${decimal(encoderDecoderCosine)}`,
  ].filter((fact) => fact !== false);
  return html`<article class="feature" id="${cardId(latent)}" aria-labelledby="${cardId(latent)}-title">
<h3 id="${cardId(latent)}-title">Latent ${latent}</h3>
<p class="facts">${facts.join(' · ')}</p>
<p>${held.map((pole) => html`<span class="tag strong">survives: ${pole}</span>`)}${
    feature.because.includes('asked for') && html`<span class="tag">asked for</span>`
  }${held.length === 0 && feature.because.includes('top of its pole') && html`<span class="tag">first choice of a pole, does not survive</span>`}<span
class="tag">paper: ${PAPER_CLASSES[paper.class]}${paper.fineTuned && ', in its fine-tuned set'}</span></p>
<div class="pair">
<div class="panel"><h4>r with each pole, 95%, on ${heldOut.texts} texts of fold ${heldOut.folds.join(' and ')}</h4>
${active ? correlationRows(feature, features.level) : html`<p class="none">Never active on the last token of these texts.</p>`}</div>
<div class="panel">${
    active &&
    html`<h4>z where it is active, texts</h4>
${histogramBars(`z of latent ${latent}`, density.histogram, 'z')}`
  }
<h4>Nearest decoder rows, cosine</h4>
<ul class="chips">${neighbours.map(({ latent: other, cosine }) => html`<li>${latentLink(other, described)} ${decimal(cosine)}</li>`)}</ul>
${lens(feature)}</div>
</div>
${
  active &&
  html`<h4>Actions that activate it most</h4>
${actions(feature.actions)}
<details><summary>Numbers</summary>${numbers(feature)}</details>`
}
</article>
`;
}

function survivingPoles({ perPole }: Feature, { level }: Features): string[] {
  return POLES.filter((pole) => (perPole[pole]?.q ?? 1) <= level);
}

function correlationRows({ latent, perPole }: Feature, level: number): Markup {
  const rows = POLES.flatMap((pole) => {
    const of = perPole[pole];
    if (!of) return [];
    const figure =
      of.r === null ? { value: null, why: 'constant on these texts' } : { value: of.r, ...(of.ci95 && { ci95: of.ci95 }) };
    return [{ name: pole, figure, hollow: of.q === null || of.q > level }];
  });
  return intervalRows({ label: `r of latent ${latent}`, rows, reference: 0, labelled: true, width: 480 });
}

/** Bars over their bins, as counts. */
export function histogramBars(label: string, bins: Histogram, axis: string, height = 120): Markup {
  const most = bins.reduce((best, bin) => (bin.count > best.count ? bin : best));
  const range = `${tickText(bins[0].from)} to ${tickText(bins[bins.length - 1].to)}`;
  return draw(`${label}: counts from ${range}, most (${most.count}) at ${decimal(most.from)} to ${decimal(most.to)}`, {
    width: 480,
    height,
    marginLeft: 40,
    marginTop: 6,
    marginRight: 8,
    marginBottom: 32,
    x: { label: axis, ticks: 6, tickFormat: tickText, tickSize: 3, labelArrow: 'none' },
    y: { label: null, ticks: 3, tickSize: 0, grid: true },
    marks: [
      Plot.rectY(bins, { x1: 'from', x2: 'to', y: 'count', fill: 'var(--value)', insetLeft: 0.5, insetRight: 0.5 }),
      Plot.ruleY([0]),
    ],
  });
}

function lens({ lens: tokens }: Feature): Part {
  if (!tokens) return null;
  const chips = (title: string, list: readonly { token: string; value: number }[]) => html`<h4>${title}</h4>
<ul class="chips">${list.map(({ token, value }) => html`<li><code>${visible(token)}</code> ${decimal(value)}</li>`)}</ul>`;
  return html`${chips('Says, by the model’s own head', tokens.positive)}${chips('Says not', tokens.negative)}`;
}

/** White space as a reader can see it. */
const visible = (token: string) => token.replaceAll(' ', '\u00b7').replaceAll('\n', '\u21b5').replaceAll('\t', '\u2192');

function actions(list: readonly Action[]): Markup {
  return scrollingTable(
    'Top activating actions',
    html`<th scope="col">z</th><th scope="col">action</th><th scope="col" class="measure">judged</th>`,
    list.map(
      ({ z, text, tokens, values, judged }) =>
        html`<tr><td class="number">${decimal(z)}</td><td class="action">${tokens ? highlighted(tokens, values!) : text}</td><td>${
          Object.entries(judged)
            .map(([pole, m]) => `${pole} ${decimal(m)}`)
            .join(', ') || html`<small>neutral</small>`
        }</td></tr>\n`,
    ),
  );
}

/** Each token shaded by its z relative to the largest of the text; the largest is underlined too. */
function highlighted(tokens: readonly string[], values: readonly number[]): Markup {
  const most = Math.max(...values);
  const parts = tokens.map((token, i) => {
    if (!(values[i] > 0)) return html`${token}`;
    const shade = trusted((values[i] / most).toFixed(2));
    return html`<mark${trusted(values[i] === most ? ' class="most"' : '')} style="--z:${shade}" title="z ${decimal(values[i])}">${token}</mark>`;
  });
  return html`<span class="tokens">${parts}</span>`;
}

function numbers({ perPole }: Feature): Markup {
  const columns = ['pole', 'r, 95%', 'p', 'q', 'r of the topics alone', 'p beyond topics', 'r on content tokens'];
  const cell = (value: number | null, text = decimal) => html`<td class="number">${value === null ? '–' : text(value)}</td>`;
  return scrollingTable(
    'Correlations',
    heads(columns),
    POLES.map((pole) => {
      const of = perPole[pole];
      if (!of) return html`<tr><th scope="row">${pole}</th><td class="none" colspan="6">not screened</td></tr>\n`;
      return html`<tr><th scope="row">${pole}</th><td class="number">${of.r === null ? '–' : decimal(of.r)}${
        of.ci95 && html` <small>[${decimal(of.ci95[0])}, ${decimal(of.ci95[1])}]</small>`
      }</td>${cell(of.p, probabilityText)}${cell(of.q, probabilityText)}${cell(of.topic.expected)}${cell(
        of.topic.p,
        probabilityText,
      )}${cell(of.content)}</tr>\n`;
    }),
  );
}

function percent(share: number): string {
  return `${share > 0 && share < 0.001 ? (100 * share).toFixed(3) : (100 * share).toFixed(1)}%`;
}
