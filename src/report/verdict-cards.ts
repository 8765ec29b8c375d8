import type { Verdict } from '../diagnosis/schema.js';
import { decimal, intervalText, nullText, probabilityText, valueText } from './figure-text.js';
import { intervalRows } from './interval-rows.js';
import { html, type Markup } from './markup.js';
import { POOLING_NAMES } from './pooling-panels.js';

const ABOUT: Record<Verdict['analysis'], { title: string; question: string; statistic: string; reference: number }> = {
  categorical: {
    title: 'Categorical',
    question: 'Do opposed poles, like care and harm, point apart?',
    statistic: 'cosine of opposed prototypes; lower is better',
    reference: 0,
  },
  gradient: {
    title: 'Gradient',
    question: 'Are texts of a pole closer to its prototype than neutral ones?',
    statistic: 'rank correlation with judgment; higher is better',
    reference: 0,
  },
  structural: {
    title: 'Structural',
    question: 'Do texts fall into moral groups by themselves?',
    statistic: 'agreement of clusters with virtue, vice and neutral; higher is better',
    reference: 0,
  },
  dimensional: {
    title: 'Dimensional',
    question: 'Can the ten moral dimensions be read off linearly?',
    statistic: 'R² on held-out texts; higher is better',
    reference: 0,
  },
  readout: {
    title: 'Readout',
    question: 'Does what the model says tell virtue from vice?',
    statistic: 'AUC of virtue against vice; .5 is guessing',
    reference: 0.5,
  },
};

const OUTCOMES = { apart: '● told apart', chance: '○ not told from chance', empty: '× no verdict' } as const;

function place({ pooling, layer }: Verdict): string | null {
  const parts = [layer === null ? null : `layer ${layer}`, pooling && POOLING_NAMES[pooling]].filter((p) => p !== null);
  return parts.length === 0 ? null : parts.join(', ');
}

function verdictCard(verdict: Verdict): Markup {
  const { figure, outcome, analysis } = verdict;
  const { title, question, statistic, reference } = ABOUT[analysis];
  const interval = intervalText(figure);
  const against = [
    figure.null && `chance ${nullText(figure)}`,
    figure.p !== undefined && `p ${probabilityText(figure.p)}`,
    figure.detectable !== undefined && `detectable ${decimal(figure.detectable)}`,
  ].filter((t) => typeof t === 'string');
  return html`<li class="verdict ${outcome}">
<div><h3>${title}</h3><p class="how">${question}</p></div>
<div>${
    figure.value === null
      ? html`<p class="none">empty: ${figure.why ?? 'no reason given'}</p>`
      : html`<p class="big">${valueText(figure)}${interval && html` <small>${interval}</small>`}</p>
${intervalRows({ label: title, rows: [{ name: statistic, figure, hollow: outcome === 'chance' }], reference, labelled: false, width: 280 })}
<p class="against">${against.map((t, i) => html`${i > 0 && ' · '}<span>${t}</span>`)}</p>`
  }</div>
<div><p class="outcome">${OUTCOMES[outcome]}</p><p class="told">${verdict.meaning}</p><p class="how">${statistic}${place(verdict) && ` · ${place(verdict)}`}</p></div>
</li>`;
}

/** The five verdicts, one line an analysis: value, interval, null and what they come to. */
export function verdictCards(verdicts: Verdict[]): Markup {
  return html`<p class="how">In each small picture the point is the measured value, the bar its 95% interval, the grey band what chance
gives (95% of the null), the thin line no effect, and the dashed tick the smallest effect this many texts would have shown.</p>
<ol class="verdicts">${verdicts.map(verdictCard)}</ol>`;
}
