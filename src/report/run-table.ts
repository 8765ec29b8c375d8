import { z } from 'zod';
import { formatPrecisionError, PrecisionError } from '../activations/precision-error.js';
import { Manifest } from '../artifact/manifest.js';
import type { Diagnosis } from '../diagnosis/schema.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { decimal } from './figure-text.js';
import { html, type Markup, type Part } from './markup.js';
import { type Section, scrollingTable } from './page.js';
import { POOLING_NAMES, poolingsOf } from './pooling-panels.js';
import { whatWasRun } from './what-was-run.js';

/** What the manifest of the captured states says of how they were made, if it says it as ours do. */
function capturing({ activations }: Diagnosis['manifest']) {
  const told = Manifest.pick({ createdAt: true, seconds: true, tool: true, machine: true }).partial();
  return told.safeParse(activations).data ?? {};
}

/** What the precision of the captured states costs, if they are not fp32. */
function precisionLost({ activations }: Diagnosis['manifest']) {
  const told = z.object({ details: z.object({ precisionError: PrecisionError }) }).safeParse(activations);
  return told.data?.details.precisionError;
}

/** The day the states were captured. */
export const dateOf = ({ manifest }: Diagnosis) => capturing(manifest).createdAt?.slice(0, 10);

const count = (n: number) => n.toLocaleString('en-US');

function facts(diagnosis: Diagnosis): [string, Part][] {
  const { model, corpus, n, manifest } = diagnosis;
  const { createdAt, seconds, tool, machine } = capturing(manifest);
  const precision = precisionLost(manifest);
  return [
    [
      'model',
      `${model.name} (${model.family}), ${decimal(model.parameters / 1e6, 0)} million parameters, ${model.layers} layers of ${model.hidden}, ${model.precision}`,
    ],
    ['precision', precision && formatPrecisionError(precision)],
    ['model sha256', html`<code>${model.sha256}</code>`],
    ['corpus', `${corpus.name}, ${corpus.authored ? 'authored, not human judgments' : 'human judgments'}`],
    ['corpus sha256', html`<code>${corpus.sha256}</code>`],
    ['texts', `${count(n.texts)} texts, ${count(n.rows)} rows`],
    ['template', html`<code>${diagnosis.template}</code>`],
    [
      'poolings',
      poolingsOf(diagnosis)
        .map(([p]) => POOLING_NAMES[p])
        .join(', ') || 'none',
    ],
    ['profile', diagnosis.profile],
    ['seed', String(diagnosis.seed)],
    ['permutations', count(diagnosis.permutations)],
    ['bootstraps', count(diagnosis.bootstraps)],
    ['captured', createdAt],
    ['capture took', seconds === undefined ? undefined : `${decimal(seconds, 0)} s`],
    [
      'machine',
      machine && `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.platform}, Node ${machine.node}`,
    ],
    ['tool', tool && `${tool.name} ${tool.version}`],
  ];
}

function texts({ n }: Diagnosis): Markup {
  return scrollingTable(
    'Texts by foundation',
    html`<th scope="col">foundation</th><th scope="col">virtue</th><th scope="col">vice</th><th scope="col">neutral</th>`,
    FOUNDATIONS.map(
      (f, i) =>
        html`<tr><th scope="row">${f}</th><td>${count(n.perPole[POLES[2 * i]])}</td><td>${count(n.perPole[POLES[2 * i + 1]])}</td><td>${count(
          n.neutrals[f],
        )}</td></tr>\n`,
    ),
  );
}

/** Everything that decides these numbers, so that somebody else can have them again. */
export function runSection(diagnosis: Diagnosis): Section {
  return whatWasRun(
    facts(diagnosis),
    diagnosis.manifest,
    html`<h3>Texts by pole</h3>
${texts(diagnosis)}
`,
  );
}
