import { mkdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { z } from 'zod';
import { ActivationDirectory } from '../activations/directory.js';
import { sha256, writeFileAtomic } from '../artifact/files.js';
import { TOOL } from '../artifact/manifest.js';
import { MoralscopeError, throwIfCancelled } from '../errors.js';
import type { Corpus } from '../moral/corpus.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { parseOptions } from '../options.js';
import type { WorkOptions } from '../progress.js';
import type { BestReport, BestTask } from './best.js';
import { Crew } from './crew.js';
import type { WordFigures } from './dimensional.js';
import { JudgedTexts } from './judged-texts.js';
import type { LayerResult } from './layer.js';
import type { Task, TaskResult, WorkerData } from './layer-worker.js';
import { type Column, maximumP } from './maximum.js';
import { prototypeMap } from './prototype-map.js';
import { ANALYSES, type Best, type Diagnosis, POOLINGS, type Pooling, type PoolingDiagnosis, type Readout } from './schema.js';
import { readoutVerdict, summarise, verdictOf } from './verdict.js';

export const DrawOptions = z.object({
  permutations: z.int().min(200).default(200).describe('permutations of the judgments behind every null'),
  bootstraps: z.int().min(100).default(200).describe('bootstrap draws of the texts behind every interval'),
});

export interface DiagnoseOptions extends WorkOptions, Partial<z.infer<typeof DrawOptions>> {
  /** Directory that `capture` made of the corpus's texts. */
  activations: string;
  corpus: Corpus;
  seed?: number;
  /** The poolings to diagnose. Default: all that were captured. */
  pools?: readonly Pooling[];
  /** Worker threads. Default: one a core. */
  threads?: number;
  /** Finished layers are kept here until the caller removes it, so that an interrupted diagnosis goes on where it stopped. */
  workDirectory?: string;
}

type Analysis = (typeof ANALYSES)[number];

/**
 * The five analyses of docs/paper.md section 3, rigorous profile, for every captured layer and pooling: each figure with its null, interval and the
 * effect it could have shown. Runs in worker threads.
 *
 * @throws MoralscopeError `misuse` when the activations are of another corpus or lack the poolings, `cancelled`, `bad-data` for states that are not finite or a corpus
 *   too small to diagnose
 */
export async function diagnose(options: DiagnoseOptions): Promise<Diagnosis> {
  const { corpus, seed = 0, onProgress, signal } = options;
  const { permutations, bootstraps } = parseOptions(DrawOptions, options);
  const counts = { seed, permutations, bootstraps };
  const directory = await ActivationDirectory.open(options.activations);
  requireSameCorpus(directory, corpus);
  const texts = JudgedTexts.of(corpus);
  if (texts.length < FEWEST_TEXTS)
    throw new MoralscopeError(
      'bad-data',
      `The corpus ${corpus.name} has ${texts.length} judged texts; a diagnosis needs at least ${FEWEST_TEXTS}.`,
      'Build a larger corpus.',
    );
  const poolings = poolingsOf(directory, options.pools);
  const data: WorkerData = { activations: directory.path, corpus, counts };
  const tasks = poolings.flatMap((pooling) => directory.layers.map((layer) => ({ pooling, layer })));
  const threads = Math.max(1, Math.min(options.threads ?? availableParallelism(), tasks.length));
  const crew = new Crew<Task, TaskResult>(new URL('./layer-worker.js', import.meta.url), data, threads);
  const stop = () => void crew.close();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    throwIfCancelled(signal);
    let done = 0;
    const progress = () => onProgress?.({ task: 'diagnose', done, total: tasks.length, unit: 'layers' });
    const identity = sha256(JSON.stringify([TOOL.version, directory.manifest, corpus.sha256, counts]));
    progress();
    const words = (await crew.run({ kind: 'words' })) as WordFigures;
    const [readout, ...results] = await Promise.all([
      crew.run({ kind: 'readout', words }) as Promise<Readout>,
      ...tasks.map(async (task) => {
        const result = await kept(
          options.workDirectory,
          identity,
          task,
          () => crew.run({ kind: 'layer', ...task, words }) as Promise<LayerResult>,
        );
        done++;
        progress();
        return result;
      }),
    ]);
    const resultsOf = (pooling: Pooling) => results.filter((_, i) => tasks[i].pooling === pooling);
    const report = (task: BestTask) => crew.run(task) as Promise<BestReport>;
    const diagnosed: Partial<Record<Pooling, PoolingDiagnosis>> = {};
    for (const pooling of poolings) diagnosed[pooling] = await poolingDiagnosis(pooling, resultsOf(pooling), report);

    const main = poolings[0];
    const mapLayer = diagnosed[main]!.best.categorical.layer ?? directory.layers[0];
    const { typical } = await report({ kind: 'typical', pooling: main, layer: mapLayer });
    const mapped = diagnosed[main]!.layers.find(({ layer }) => layer === mapLayer)!;
    const knows = bestProbe(poolings.map((pooling) => ({ pooling, results: resultsOf(pooling) })));
    const verdicts = [
      ...ANALYSES.map((analysis) => verdictOf(analysis, main, diagnosed[main]!.best[analysis], diagnosed[main]!)),
      readoutVerdict(readout),
    ];
    const { vocabulary: _, tokenizer: __, ...model } = directory.details.model;
    return {
      version: 1,
      model,
      corpus: { name: corpus.name, authored: corpus.authored, sha256: corpus.sha256 },
      template: directory.details.template,
      profile: 'rigorous',
      ...counts,
      n: sizes(corpus, texts),
      readout,
      knows,
      poolings: diagnosed,
      verdicts,
      summary: summarise(model.name, verdicts, readout, knows),
      map: { pooling: main, layer: mapLayer, points: prototypeMap(mapped.categorical.matrix) },
      typical: { pooling: main, layer: mapLayer, ...typical! },
      manifest: { activations: directory.manifest },
    };
  } finally {
    signal?.removeEventListener('abort', stop);
    await crew.close();
  }
}

const FEWEST_TEXTS = 50;

/** Throws `misuse` when the states are not of this corpus's texts. */
export function requireSameCorpus(directory: ActivationDirectory, corpus: Corpus): void {
  const captured = directory.details.corpus;
  if (captured?.sha256 !== corpus.sha256)
    throw new MoralscopeError(
      'misuse',
      `${directory.path} holds states of ${captured ? `the corpus ${captured.name} (${captured.sha256.slice(0, 12)})` : 'plain texts'}, not of ${corpus.name} (${corpus.sha256.slice(0, 12)}).`,
      'Capture this corpus, or diagnose the one that was captured.',
    );
}

/** The poolings to diagnose: those wanted, or all that were captured. Throws `misuse` for one that was not. */
export function poolingsOf(directory: ActivationDirectory, wanted?: readonly Pooling[]): Pooling[] {
  const captured = POOLINGS.filter((pooling) => directory.poolings.includes(pooling));
  const missing = (wanted ?? []).filter((pooling) => !captured.includes(pooling));
  if (missing.length > 0 || captured.length === 0)
    throw new MoralscopeError(
      'misuse',
      `${directory.path} holds no ${missing.length > 0 ? missing.join(' and no ') : 'pooled'} states, only ${directory.poolings.join(', ')}.`,
      'Choose among these, or capture with --pool last,content,mean.',
    );
  return wanted ? captured.filter((pooling) => wanted.includes(pooling)) : captured;
}

/** Where each analysis is better: opposed cosines below, everything else above. */
const DIRECTIONS = { categorical: 'less', gradient: 'greater', structural: 'greater', dimensional: 'greater' } as const;

async function poolingDiagnosis(
  pooling: Pooling,
  results: LayerResult[],
  report: (task: BestTask) => Promise<BestReport>,
): Promise<PoolingDiagnosis> {
  const best = await Promise.all(
    ANALYSES.map(async (analysis): Promise<[Analysis, Best]> => {
      const direction = DIRECTIONS[analysis];
      const chosen = chooseLayer(results, analysis, direction);
      if (!chosen) return [analysis, { layer: null, figure: { value: null, why: 'no layer gave a value to choose by' } }];
      const { layer } = chosen.diagnosis;
      const pMaximum = maximumP(
        results.flatMap<Column>(({ maxima }) => maxima[analysis]),
        direction,
      );
      // Analysis 4 has its own test texts, which no layer is chosen on.
      const figure =
        analysis === 'dimensional' ? chosen.diagnosis.dimensional.r2 : (await report({ kind: analysis, pooling, layer })).figure!;
      return [analysis, { layer, figure, ...(pMaximum !== undefined && { pMaximum }) }];
    }),
  );
  return { best: Object.fromEntries(best) as PoolingDiagnosis['best'], layers: results.map(({ diagnosis }) => diagnosis) };
}

function chooseLayer(
  results: LayerResult[],
  by: keyof LayerResult['chooseBy'],
  direction: 'less' | 'greater',
): LayerResult | undefined {
  const sign = direction === 'greater' ? 1 : -1;
  return results
    .filter(({ chooseBy }) => Number.isFinite(chooseBy[by]))
    .reduce<LayerResult | undefined>(
      (best, r) => (!best || sign * (r.chooseBy[by] - best.chooseBy[by]) > 0 ? r : best),
      undefined,
    );
}

/** The linear probe at the pooling and layer with the best AUC on validation texts, reported on test texts. */
function bestProbe(poolings: { pooling: Pooling; results: LayerResult[] }[]): Diagnosis['knows'] {
  const chosen = poolings
    .map(({ pooling, results }) => ({ pooling, result: chooseLayer(results, 'knows', 'greater') }))
    .filter(({ result }) => result !== undefined)
    .sort((a, b) => b.result!.chooseBy.knows - a.result!.chooseBy.knows)[0];
  if (!chosen)
    return {
      auc: { value: null, why: 'no layer has a probe' },
      spearman: { value: null, why: 'no layer has a probe' },
      layer: null,
      pooling: null,
    };
  const { diagnosis, probe } = chosen.result!;
  return { auc: diagnosis.knows, spearman: probe.spearman, layer: diagnosis.layer, pooling: chosen.pooling };
}

function sizes(corpus: Corpus, texts: JudgedTexts): Diagnosis['n'] {
  const m = texts.moralVectors();
  const n = texts.length;
  const count = (keep: (text: number) => boolean) => texts.positions(keep).length;
  return {
    rows: corpus.rows.length,
    texts: n,
    perPole: Object.fromEntries(POLES.map((pole, k) => [pole, count((i) => m[k * n + i] > 0)])) as Diagnosis['n']['perPole'],
    neutrals: Object.fromEntries(
      FOUNDATIONS.map((name, f) => [name, count((i) => m[2 * f * n + i] === 0 && m[(2 * f + 1) * n + i] === 0)]),
    ) as Diagnosis['n']['neutrals'],
  };
}

/** The result kept from an interrupted run of the same identity, or computed and kept now. */
async function kept(
  directory: string | undefined,
  identity: string,
  { pooling, layer }: { pooling: Pooling; layer: number },
  compute: () => Promise<LayerResult>,
): Promise<LayerResult> {
  if (!directory) return compute();
  const path = join(directory, `${pooling}-${layer}.v8`);
  const found = await readFile(path).catch(() => undefined);
  const earlier = found && (deserialize(found) as { identity: string; result: LayerResult });
  if (earlier?.identity === identity) return earlier.result;
  const result = await compute();
  await mkdir(directory, { recursive: true });
  await writeFileAtomic(path, serialize({ identity, result }));
  return result;
}
