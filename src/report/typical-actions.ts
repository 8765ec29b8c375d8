import type { Diagnosis } from '../diagnosis/schema.js';
import { decimal } from './figure-text.js';
import { html, type Markup, trusted } from './markup.js';
import { type Section, scrollingTable } from './page.js';
import { POOLING_NAMES } from './pooling-panels.js';

type Action = Diagnosis['typical']['most'][number];

/** A bar from zero to the value on an axis that ends at 1; the axis starts at -1 for cosines, at 0 for judgments. */
function bar(value: number, start: -1 | 0): Markup {
  const percent = (v: number) => Math.round((100 * (Math.min(1, Math.max(start, v)) - start)) / (1 - start));
  const [left, right] = [percent(Math.min(0, value)), percent(Math.max(0, value))];
  const kind = start < 0 ? 'bar signed' : 'bar';
  return trusted(`<span class="${kind}" aria-hidden="true"><i style="left:${left}%;width:${right - left}%"></i></span>`);
}

function table(title: string, actions: Action[], judgment: string): Markup {
  const heading = html`<h3>${title}</h3>`;
  if (actions.length === 0) return html`${heading}<p class="none">Empty: no action has both a judgment and a prototype.</p>`;
  return html`${heading}
${scrollingTable(
  title,
  html`<th scope="col" class="pole">pole</th><th scope="col">action</th><th scope="col" class="measure">model, cosine</th><th scope="col" class="measure">${judgment}</th>`,
  actions.map(
    ({ text, pole, human, model }) =>
      html`<tr><td>${pole}</td><td class="action">${text}</td><td class="number"><span>${decimal(model)}</span>${bar(model, -1)}</td><td class="number"><span>${decimal(human)}</span>${bar(human, 0)}</td></tr>\n`,
  ),
)}`;
}

/** The actions nearest to and farthest from their pole's prototype, beside how they were judged. */
export function typicalSection({ typical, corpus }: Diagnosis): Section {
  const judgment = corpus.authored ? 'authored judgment' : 'human judgment';
  return {
    id: 'typical',
    name: 'Actions',
    title: 'Most and least typical actions',
    body: html`<p class="how">Measured on the ${POOLING_NAMES[typical.pooling]} at layer ${typical.layer}. For each action the cosine of its state with its pole’s prototype (the action
itself left out), beside the ${judgment} on that pole, from 0 to 1. Where the model follows judgment, the
first table holds stronger judgments than the second.</p>
${table('Most typical for the model', typical.most, judgment)}
${table('Least typical for the model', typical.least, judgment)}`,
  };
}
