import { dirname } from 'node:path';
import { BATCH_ROWS, tokenise } from '../activations/batches.js';
import { calibrateSinks } from '../activations/calibration.js';
import { CaptureThread } from '../activations/capture-thread.js';
import { SinkCache } from '../activations/sink-cache.js';
import { fillTemplate } from '../activations/template.js';
import { REMEDY_ARM } from '../alignment/remedy-schema.js';
import { clusterStates } from '../diagnosis/clustering.js';
import { type Design, designOf } from '../diagnosis/design.js';
import { r2Figure, readLinearly } from '../diagnosis/dimensional.js';
import { figure } from '../diagnosis/figure.js';
import { DETECTION_MEAN } from '../diagnosis/gradient.js';
import { JudgedTexts } from '../diagnosis/judged-texts.js';
import { prototypeStatistics } from '../diagnosis/prototype-analyses.js';
import type { ANALYSES, Figure } from '../diagnosis/schema.js';
import { centre, type States, select } from '../diagnosis/states.js';
import { agreement, POLARITY_ARI } from '../diagnosis/structural.js';
import type { MatMul } from '../graph/matmul.js';
import { shapeOf } from '../model/intervention.js';
import { formatSite, parseSite } from '../model/site.js';
import { FOUNDATIONS } from '../moral/foundation.js';
import {
  type Chosen,
  type ControlArm,
  interventionsOfJob,
  type Job,
  kindsOf,
  nameOfJob,
  type Run,
  strengthOfJob,
} from './run.js';
import { spreadOf } from './said.js';
import type { Rediagnosis } from './schema.js';
import { byShape } from './steered-arms.js';
import { REDIAGNOSED, SteeredTexts } from './steered-states.js';
import { judgedTexts } from './verified-sets.js';

/** The headline of each analysis at one layer, in one pooling. */
export type Headlines = Record<(typeof ANALYSES)[number], Figure>;

/** Rows of a batch. */
const MAX_TOKENS = 128;
/** As a diagnosis needs (`diagnose`). */
const FEWEST_TEXTS = 50;

/**
 * The four analyses of the steered model's states at the steered sites, at the last layer and at one in between, on the held-out texts of the
 * corpus that the remedy was fitted on, or of the first corpus there is; the remedy at its strength on all tokens, and some controls.
 */
export async function rediagnose(run: Run, chosen: Chosen): Promise<{ rediagnosis: Rediagnosis | null; notes: string[] }> {
  const { model, remedy, template, sets, corpora, steered, kept, matmul, options } = run;
  const { permutations, bootstraps, seed, rediagnosed, onProgress, signal } = options;
  const part =
    sets.find(({ fittedOn, set }) => fittedOn && corpora.has(set.sha256)) ?? sets.find(({ set }) => corpora.has(set.sha256));
  const none = (why: string) => ({ rediagnosis: null, notes: [`States were not diagnosed again: ${why}.`] });
  if (rediagnosed === 0) return none('none were asked for (--rediagnosed)');
  if (remedy.sites.length === 0) return none('a prompt has no site, and its own tokens would be among the states');
  if (!part) return none('that needs a corpus, whose judgments have foundations');
  const corpus = corpora.get(part.set.sha256)!;
  const idOf = new Map(corpus.texts.map((text, id) => [text, id]));
  const texts = JudgedTexts.of(
    corpus,
    judgedTexts(part).texts.map((text) => idOf.get(text)!),
  );
  if (texts.length < FEWEST_TEXTS)
    return none(`${corpus.name} has ${texts.length} held-out texts, of ${FEWEST_TEXTS} that are needed`);
  const filled = Array.from(texts.ids, (id) => fillTemplate(template, corpus.texts[id]));
  const tokens = await tokenise(filled, model.tokenizer, Math.min(MAX_TOKENS, model.spec.context), signal);
  const sites = tappedSites(chosen.variant.sites, model.spec.layers);
  const thresholds = await kept.get(['sinks', sites], () => sinkThresholds(run, sites));

  const arms = [remedy.arm(REMEDY_ARM), ...someControls(run.controls, rediagnosed)];
  const jobs: (Job | undefined)[] = [undefined, ...arms.map((arm) => ({ arm, ...chosen }))];
  const interventions = (job: Job) => interventionsOfJob(run, job, 'all');
  const whole = designOf(texts, { seed, permutations, bootstraps: Math.min(bootstraps, MOST_DRAWS) });
  const bare = designOf(texts, { seed, permutations: 0, bootstraps: 0 });
  const found: Headlines[][][] = new Array(jobs.length);
  let done = 0;
  const groups = byShape(
    [...jobs.keys()].filter((i) => i > 0),
    (i) => interventions(jobs[i]!).map(shapeOf),
  );
  groups[0].items.unshift(0);
  for (const { shapes, items } of groups)
    await steered.whole(shapes, { sites }, async (session) => {
      const opened = await SteeredTexts.open(session, tokens, thresholds, signal);
      for (const i of items) {
        onProgress?.({ task: 're-diagnose', done: done++, total: jobs.length, unit: 'steps' });
        const job = jobs[i];
        found[i] = await kept.get(['headlines', corpus.sha256, sites, nameOfJob(job)], async () => {
          const steering = job && { interventions: interventions(job), strength: strengthOfJob(job) };
          const states = await opened.states(steering);
          const all: Headlines[][] = [];
          for (const site of states) {
            const ofSite: Headlines[] = [];
            for (const pooling of REDIAGNOSED) ofSite.push(await headlines(site[pooling], i < 2 ? whole : bare, matmul));
            all.push(ofSite);
          }
          return all;
        });
      }
    });
  onProgress?.({ task: 're-diagnose', done: jobs.length, total: jobs.length, unit: 'steps' });
  const controls = arms.slice(1) as ControlArm[];
  return {
    notes: [],
    rediagnosis: {
      on: corpus.name,
      texts: texts.length,
      strength: chosen.strength,
      controls: kindsOf(controls).map((kind) => ({ kind, n: controls.filter((arm) => arm.kind === kind).length })),
      permutations,
      layers: sites.flatMap((site, s) =>
        REDIAGNOSED.map((pooling, p) => {
          const [before, after, ...others] = found.map((ofJob) => ofJob[s][p]);
          const of = (analysis: keyof Headlines) => ({
            before: before[analysis],
            after: after[analysis],
            controls: spreadOf(others.map((each) => each[analysis].value)) ?? null,
          });
          return {
            layer: parseSite(site, model.spec.layers).layer,
            pooling,
            categorical: of('categorical'),
            gradient: of('gradient'),
            structural: of('structural'),
            dimensional: of('dimensional'),
          };
        }),
      ),
    },
  };
}

async function sinkThresholds({ model, options }: Run, names: readonly string[]): Promise<number[]> {
  const { precision, threads, onProgress, signal } = options;
  const compiled = await model.compile({ sites: names, precision, onProgress, signal });
  const sites = names.map((site) => parseSite(site, model.spec.layers));
  const cache = new SinkCache(dirname(compiled.graph), model.tokenizer.sha256);
  const before = await cache.read(sites);
  if (before) return before.map(({ threshold }) => threshold);
  const thread = CaptureThread.start(compiled, threads);
  try {
    const sinks = await calibrateSinks(thread, sites, model.tokenizer, BATCH_ROWS);
    await cache.keep(sites, sinks);
    return sinks.map(({ threshold }) => threshold);
  } finally {
    await thread.close();
  }
}

/** Bootstrap draws of the diagnosis, which are dearer than those of scores. */
const MOST_DRAWS = 200;

/** The steered sites, the last layer and the one half way to it. */
function tappedSites(steered: readonly string[], layers: number): string[] {
  const deepest = Math.max(...steered.map((site) => parseSite(site, layers).layer));
  const beyond = [Math.round((deepest + layers - 1) / 2), layers - 1].filter((layer) => layer > deepest);
  return [...new Set([...steered, ...beyond.map((layer) => formatSite({ layer, point: 'resid_post' }))])];
}

/** So many controls, the kinds in turn, each in its order. */
function someControls(controls: readonly ControlArm[], most: number): ControlArm[] {
  const byKind = kindsOf(controls).map((kind) => controls.filter((arm) => arm.kind === kind));
  const longest = Math.max(0, ...byKind.map((of) => of.length));
  return Array.from({ length: longest }, (_, i) => byKind.flatMap((of) => of.slice(i, i + 1)))
    .flat()
    .slice(0, most);
}

/** The four analyses' headlines (docs/paper.md section 3) of states of the design's texts; what the design has no draws for has no null, or interval. */
export async function headlines(states: States, design: Design, matmul: MatMul): Promise<Headlines> {
  const { cosines, correlations } = await prototypeStatistics(design.texts, centre(states), design.draws, matmul);
  const { single, counts } = design;
  const clustered = await clusterStates(select(states, single.positions), counts.seed, matmul);
  const { r2 } = await readLinearly(states, design, matmul);
  return {
    categorical: figure(cosines, FOUNDATIONS.length, {
      better: 'less',
      bounds: [-1, 1],
      whyEmpty: 'no foundation has prototypes of both poles',
    }),
    gradient: figure(correlations, DETECTION_MEAN, { better: 'greater', bounds: [-1, 1], whyEmpty: 'no pole has enough texts' }),
    structural: figure(agreement(clustered, single.classes), POLARITY_ARI, {
      better: 'greater',
      bounds: [-1, 1],
      whyEmpty: 'every text is noise, or all are of one polarity',
    }),
    dimensional: r2Figure(r2),
  };
}
