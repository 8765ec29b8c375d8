// Calibration and power of the five analyses; slow (docs/calibration.md holds what it printed).
//   node scripts/calibrate.js RUN [--seeds 500] [--texts 600] [--permutations 200] [--layers 8,18,26] [--pooling last] [--power-seeds 100]
// RUN is a directory that `demo` or `diagnose` made: its corpus and activations are used.
// 1. Permuted judgments on real states: how often does each analysis reject at 5%? The maxima over layers and poles included.
// 2. Planted signal on synthetic states: how often does each analysis find it, by effect size?

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { ActivationDirectory } from '../dist/activations/directory.js';
import { clusterStates } from '../dist/diagnosis/clustering.js';
import { designOf } from '../dist/diagnosis/design.js';
import { dimensional } from '../dist/diagnosis/dimensional.js';
import { column, figure } from '../dist/diagnosis/figure.js';
import { DETECTION_MEAN } from '../dist/diagnosis/gradient.js';
import { JudgedTexts } from '../dist/diagnosis/judged-texts.js';
import { maximumP } from '../dist/diagnosis/maximum.js';
import { prototypeStatistics } from '../dist/diagnosis/prototype-analyses.js';
import { logOdds, READOUT, readoutStatistics } from '../dist/diagnosis/readout.js';
import { centre, select } from '../dist/diagnosis/states.js';
import { agreement, POLARITY_ARI } from '../dist/diagnosis/structural.js';
import { MatMul } from '../dist/graph/matmul.js';
import { readCorpus } from '../dist/moral/read.js';
import { diagnosticSample } from '../dist/moral/sample.js';
import { Random } from '../dist/random.js';

const EMPTY = { value: null, why: 'not asked for' };
const WORDS = { floor: EMPTY, ceiling: EMPTY, auc: EMPTY };
const LEVEL = 0.05;
const EFFECTS = [0, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2];
const POWER_TEXTS = 400;
const POWER_WIDTH = 32;

const { values, positionals } = parseArgs({
  args: isMainThread ? undefined : workerData.argv,
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '500' },
    texts: { type: 'string', default: '600' },
    permutations: { type: 'string', default: '200' },
    layers: { type: 'string', default: '8,18,26' },
    pooling: { type: 'string', default: 'last' },
    'power-seeds': { type: 'string', default: '100' },
  },
});
const permutations = Number(values.permutations);

if (isMainThread) await main();
else await work();

async function main() {
  if (positionals.length !== 1) throw new Error('give the directory of a run, e.g. runs/demo');
  const tasks = [
    ...Array.from({ length: Number(values.seeds) }, (_, seed) => ({ kind: 'null', seed })),
    ...EFFECTS.flatMap((effect) =>
      Array.from({ length: Number(values['power-seeds']) }, (_, seed) => ({ kind: 'power', effect, seed })),
    ),
  ];
  const results = await run(tasks);
  const nulls = results.filter((_, i) => tasks[i].kind === 'null');
  const n = nulls.length;
  const bound = binomialBound(n, LEVEL);
  console.log(
    `permuted judgments, ${n} seeds, ${values.texts} texts, layers ${values.layers}, pooling ${values.pooling}, ${permutations} permutations`,
  );
  console.log(`a test at 5% rejects at most ${bound} of ${n} (97.5% quantile of the binomial)\n`);
  console.log('| statistic | rejections | share | within the bound |\n|---|---|---|---|');
  for (const name of Object.keys(nulls[0])) {
    const ps = nulls.map((r) => r[name]).filter((p) => p !== null && p !== undefined);
    const hits = ps.filter((p) => p < LEVEL).length;
    console.log(
      `| ${name} | ${hits} of ${ps.length} | ${((100 * hits) / ps.length).toFixed(1)}% | ${hits <= binomialBound(ps.length, LEVEL) ? 'yes' : 'NO'} |`,
    );
  }
  console.log(
    `\nplanted signal, ${values['power-seeds']} seeds an effect, ${POWER_TEXTS} texts, ${POWER_WIDTH} channels: share of seeds with p < .05\n`,
  );
  console.log(
    '| effect | categorical (separation) | gradient (slope) | structural (clusters) | dimensional (linear map) |\n|---|---|---|---|---|',
  );
  for (const effect of EFFECTS) {
    const own = results.filter((_, i) => tasks[i].kind === 'power' && tasks[i].effect === effect);
    const share = (name) => (own.filter((r) => r[name] !== null && r[name] < LEVEL).length / own.length).toFixed(2);
    console.log(
      `| ${effect} | ${share('categorical')} | ${share('gradient')} | ${share('structural')} | ${share('dimensional')} |`,
    );
  }
}

/** The smallest count that a binomial(n, p) exceeds with probability at most 2.5%. */
function binomialBound(n, p) {
  let term = (1 - p) ** n;
  let below = term;
  let k = 0;
  while (below < 0.975) {
    term *= ((n - k) / (k + 1)) * (p / (1 - p));
    below += term;
    k++;
  }
  return k;
}

function run(tasks) {
  const results = new Array(tasks.length);
  let next = 0;
  let done = 0;
  const started = performance.now();
  return new Promise((resolve, reject) => {
    for (let w = 0; w < availableParallelism(); w++) {
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { argv: process.argv.slice(2) } });
      const give = () => (next < tasks.length ? worker.postMessage({ index: next, task: tasks[next++] }) : worker.terminate());
      worker.on('message', ({ index, result }) => {
        results[index] = result;
        done++;
        if (done % 50 === 0) console.error(`${done} / ${tasks.length}, ${((performance.now() - started) / 1000).toFixed(0)} s`);
        if (done === tasks.length) resolve(results);
        give();
      });
      worker.on('error', reject);
      give();
    }
  });
}

async function work() {
  const matmul = await MatMul.open(1);
  const real = await realTexts();
  parentPort.on('message', async ({ index, task }) => {
    const result =
      task.kind === 'null' ? await rejectReal(real, task.seed, matmul) : await rejectPlanted(task.effect, task.seed, matmul);
    parentPort.postMessage({ index, result });
  });
}

/** Some texts of the run, their states at the layers, their readout. The clusters, which no judgment makes, are found once. */
async function realTexts() {
  const [directory] = positionals;
  const corpus = diagnosticSample(await readCorpus(join(directory, 'corpus')), 0);
  const activations = await ActivationDirectory.open(join(directory, 'activations'));
  const all = JudgedTexts.of(corpus);
  const texts = all.subset(new Random(0, 'calibration').permutation(all.length).slice(0, Number(values.texts)).sort());
  const matmul = await MatMul.open(1);
  const layers = [];
  for (const layer of values.layers.split(',').map(Number)) {
    const data = await activations.read(layer, values.pooling);
    const states = select({ n: activations.rows, d: activations.hidden, data }, texts.ids);
    layers.push({ states, clustering: await clusterStates(select(states, texts.ofOneFoundation()), 0, matmul) });
  }
  const readout = await activations.readout();
  const odds = logOdds(readout.logProbs, readout.tokenIds.length, readout.pairs);
  return { texts, layers, odds: Float64Array.from(texts.ids, (id) => odds[id]) };
}

/** p of every statistic when the judgments are permuted, so that every rejection is false. */
async function rejectReal({ texts, layers, odds }, seed, matmul) {
  const relabelled = texts.judged(texts.permuted(new Random(seed, 'calibration')));
  const design = designOf(relabelled, { seed, permutations, bootstraps: 0 });
  const columns = { categorical: [], gradient: [], structural: [], dimensional: [] };
  const p = {};
  for (const [l, { states, clustering }] of layers.entries()) {
    const found = await analyse(states, clustering, design, matmul);
    for (const name of Object.keys(columns)) columns[name].push(...found.columns[name]);
    if (l === 1) Object.assign(p, found.p);
  }
  for (const [name, own] of Object.entries(columns))
    p[`${name}, maximum over layers and poles`] = maximumP(own, name === 'categorical' ? 'less' : 'greater') ?? null;
  const second = design.halves[1];
  const half = await prototypeStatistics(second.texts, centre(select(layers[1].states, second.positions)), second.draws, matmul);
  p['categorical, second half'] = pOf(half.cosines, 5, 'less');
  p['gradient, second half'] = pOf(half.correlations, DETECTION_MEAN, 'greater');
  p['readout AUC'] = pOf(
    {
      observed: readoutStatistics(odds, relabelled.valence()),
      permuted: design.draws.permuted.map(({ signed }) => readoutStatistics(odds, relabelled.valence(signed))),
      resampled: [],
    },
    READOUT.auc,
    'greater',
  );
  return p;
}

async function analyse(states, clustering, design, matmul) {
  const { cosines, correlations } = await prototypeStatistics(design.texts, centre(states), design.draws, matmul);
  const agreed = agreement(clustering, design.single.classes);
  const read = await dimensional(states, design, WORDS, matmul);
  return {
    p: {
      categorical: pOf(cosines, 5, 'less'),
      gradient: pOf(correlations, DETECTION_MEAN, 'greater'),
      structural: pOf(agreed, POLARITY_ARI, 'greater'),
      dimensional: read.dimensional.r2.p ?? null,
      'linear probe AUC': read.knows.p ?? null,
    },
    columns: {
      categorical: columnsOf(cosines),
      gradient: columnsOf(correlations),
      structural: columnsOf(agreed).slice(POLARITY_ARI, POLARITY_ARI + 1),
      dimensional: columnsOf(read.statistic),
    },
  };
}

const columnsOf = ({ observed, permuted }) =>
  Array.from(observed, (value, i) => ({ observed: value, permuted: column(permuted, i) }));
const pOf = (statistic, index, better) => figure(statistic, index, { better, bounds: [-1, 1], whyEmpty: '' }).p ?? null;

/**
 * Texts of five foundations with judgments at random; states are unit noise about a topic of their own, plus `effect` times
 * (separation and slope) the signed judgment along a direction of the foundation, (linear map) the same map that the probe is to find,
 * (clusters) ten times the effect along one direction by polarity.
 */
async function rejectPlanted(effect, seed, matmul) {
  const random = new Random(seed, 'planted', effect);
  const levels = [-1, -0.75, -0.5, -0.25, -0.125, 0, 0, 0, 0.125, 0.25, 0.5, 0.75, 1];
  const n = POWER_TEXTS;
  const d = POWER_WIDTH;
  const foundation = Uint8Array.from({ length: n }, () => random.below(5));
  const signed = Float32Array.from({ length: n }, () => levels[random.below(levels.length)]);
  const direction = Array.from({ length: 6 }, () => Float64Array.from({ length: d }, () => random.normal() / Math.sqrt(d)));
  const states = (shift) => {
    const data = new Float32Array(n * d);
    for (let i = 0; i < n; i++) for (let j = 0; j < d; j++) data[i * d + j] = 100 + random.normal() + shift(i, j);
    return { n, d, data };
  };
  const ids = Int32Array.from({ length: n }, (_, i) => i);
  const corpus = {
    name: 'planted',
    authored: true,
    sha256: '',
    texts: Array.from(ids, String),
    rows: { length: n, text: ids, annotation: ids, foundation, signed },
  };
  const design = designOf(JudgedTexts.of(corpus), { seed, permutations, bootstraps: 0 });
  const along = states((i, j) => 5 * effect * signed[i] * direction[foundation[i]][j]);
  const clustered = states((i, j) => 10 * effect * Math.sign(signed[i]) * direction[5][j]);
  const own = await analyse(along, await clusterStates(along, 0, matmul), design, matmul);
  const clusters = agreement(await clusterStates(clustered, 0, matmul), design.single.classes);
  return { ...own.p, structural: pOf(clusters, POLARITY_ARI, 'greater') };
}
