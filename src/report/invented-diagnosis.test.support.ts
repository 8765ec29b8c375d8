/**
 * @file Invented diagnoses: no measurement of anything, only of the shape and about the size that real ones have. The numbers
 * follow what is known of small decoders: mean pooling drowned by the sink, the last token weakly ordered in the late layers.
 */
import {
  type Best,
  Diagnosis,
  type Figure,
  type LayerDiagnosis,
  POOLINGS,
  type Pooling,
  type PoolingDiagnosis,
  type Verdict,
} from '../diagnosis/schema.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { figureLine } from './figure-text.js';

export const WHY = 'the pole has no <prototype>';
export const NASTY = `saying "a < b & b > c" isn't <script>alert(1)</script> &amp; \u0007 \ud800`;

function inventFigure(random: Random, mean: number, width: number, nullHalf: number, p = true): Figure {
  const value = mean + 0.15 * width * random.normal();
  const middle = 0.1 * nullHalf * random.normal();
  return {
    value,
    ci95: [value - width, value + width],
    null: { mean: middle, q025: middle - nullHalf, q975: middle + nullHalf },
    ...(p && {
      p: Math.min(1, 1 / 201 + Math.exp((-4 * Math.abs(value - middle)) / nullHalf)),
      detectable: Math.sign(mean || 1) * 1.3 * nullHalf,
    }),
  };
}
function withoutInterval(...invent: Parameters<typeof inventFigure>): Figure {
  const { ci95: _, ...figure } = inventFigure(...invent);
  return figure;
}
const bare = (value: number): Figure => ({ value });
const labels = (make: (i: number) => Figure) => ({ foundation: make(0), polarity: make(1), both: make(2) });
const record = <K extends string, T>(keys: readonly K[], make: (key: K, i: number) => T) =>
  Object.fromEntries(keys.map((k, i) => [k, make(k, i)])) as Record<K, T>;

function inventAnalyses(random: Random, pooling: Pooling, depth: number): LayerDiagnosis['lengthRegressed'] {
  const strength = { last: 1, content: 0.75, mean: 0.15 }[pooling] * Math.exp(-(((depth - 0.72) / 0.28) ** 2));
  const nullHalf = pooling === 'mean' ? 0.55 : 0.16;
  const cell = (scale: number) => inventFigure(random, scale * strength, 0.06 + 0.2 * (pooling === 'mean' ? 1 : 0.2), nullHalf);
  const offsets = POLES.map((_, i) => (i % 2 ? -1 : 1) * 0.3 * strength + 0.12 * random.normal());
  return {
    categorical: {
      mean: cell(-0.38),
      perFoundation: record(FOUNDATIONS, (_, i) => ({
        cosine: cell(-0.55 + 0.12 * i),
        disattenuated: bare(-0.8 * strength + 0.1 * i),
        reliability: { virtue: bare(0.5 * random.uniform()), vice: bare(0.6 * random.uniform()) },
        baseline: bare(-0.2 * strength),
      })),
      baseline: bare(-0.22 * strength - 0.03 * random.uniform()),
      matrix: POLES.map((_, i) =>
        POLES.map((_, j) => (i === j ? 1 : Math.tanh(4 * offsets[i] * offsets[j] + 0.03 * (i + j - 9)))),
      ),
    },
    gradient: {
      detection: cell(0.34),
      gradient: cell(0.18),
      perPole: record(POLES, (_, i) => ({ detection: cell(0.3 + 0.02 * i), gradient: cell(0.05 + 0.04 * (i % 5)) })),
    },
    structural: {
      ari: labels((i) => withoutInterval(random, 0.03 + 0.05 * i * strength, 0.02, 0.02)),
      ariWithoutNoise: labels((i) => withoutInterval(random, 0.08 + 0.1 * i * strength, 0.03, 0.03)),
      ami: labels((i) => withoutInterval(random, 0.05 + 0.06 * i * strength, 0.02, 0.02)),
      kmeansAmi: labels((i) => withoutInterval(random, 0.1 + 0.08 * i * strength, 0.02, 0.02)),
      noise: bare(0.55 + 0.35 * random.uniform()),
      clusters: 2 + random.below(7),
      components: 40 + random.below(80),
      minClusterSize: 10,
      minSamples: 5,
    },
    dimensional: {
      r2: inventFigure(random, 0.22 * strength - (depth > 0.97 ? 0.6 : 0), 0.03, 0.015),
      adjustedR2: 0.3 * strength,
      edf: 120.4,
      lambda: 1000,
      perPole: record(POLES, (_, i) => inventFigure(random, 0.03 * (i % 6) + 0.1 * strength, 0.04, 0.02)),
      floor: bare(0.09),
      ceiling: bare(0.46),
    },
  };
}

function inventPooling(random: Random, pooling: Pooling, layers: number): PoolingDiagnosis {
  const best = (layer: number, figure: Figure): Best => ({ layer, figure, pMaximum: 0.005 });
  const all = Array.from({ length: layers }, (_, layer): LayerDiagnosis => {
    const depth = layer / Math.max(1, layers - 1);
    const deep = 1 / (1 + Math.exp(-20 * (depth - 0.3)));
    return {
      layer,
      sink: {
        ratio: 2 + 120 * deep * (1.1 - depth),
        lengthShare: pooling === 'mean' ? 0.2 + 0.75 * deep : 0.03 + 0.02 * random.uniform(),
        firstComponent: pooling === 'mean' ? 0.3 + 0.69 * deep : 0.12 + 0.05 * random.uniform(),
      },
      anisotropy: { raw: pooling === 'mean' ? 0.5 + 0.49 * deep : 0.7 + 0.2 * deep, centred: 0.002 * random.normal() },
      ...inventAnalyses(random, pooling, depth),
      knows: { ...inventFigure(random, 0.6 + 0.25 * depth, 0.03, 0.05), null: { mean: 0.5, q025: 0.46, q975: 0.54 } },
      lengthRegressed: inventAnalyses(random, pooling, depth),
    };
  });
  const at = Math.round(0.72 * (layers - 1));
  return {
    best: {
      categorical: best(at, all[at].categorical.mean),
      gradient: best(at, all[at].gradient.gradient),
      structural: best(Math.max(0, at - 3), inventFigure(random, 0.08, 0.02, 0.02)),
      dimensional: best(at, all[at].dimensional.r2),
    },
    layers: all,
  };
}

function verdict(
  analysis: Verdict['analysis'],
  place: Pick<Verdict, 'pooling' | 'layer'>,
  figure: Figure,
  outcome: Verdict['outcome'],
  words: string,
): Verdict {
  return { analysis, ...place, figure, outcome, meaning: words, text: `${figureLine(figure)}: ${words}.` };
}

export function inventDiagnosis(seed = 1, layers = 30, poolings: readonly Pooling[] = POOLINGS): Diagnosis {
  const random = new Random(seed, 'report');
  const built = Object.fromEntries(poolings.map((p) => [p, inventPooling(random, p, layers)])) as Diagnosis['poolings'];
  const layer = Math.round(0.72 * (layers - 1));
  const pooling = poolings[0];
  const best = built[pooling]!;
  const auc = (mean: number): Figure => ({
    ...inventFigure(random, mean, 0.03, 0.04),
    null: { mean: 0.5, q025: 0.46, q975: 0.54 },
    detectable: 0.56,
  });
  const place = { pooling, layer };
  const actions = [
    'helping a stranger carry groceries up the stairs',
    'reporting the theft to the shop owner',
    NASTY,
    'stealing back the bicycle that was stolen from you last summer, although the police had asked you to wait',
    'lying to a friend about the money',
  ];
  const typical = (make: (i: number) => { human: number; model: number }) =>
    POLES.flatMap((pole, i) => [0, 1].map((j) => ({ text: actions[(i + j) % actions.length], pole, ...make(2 * i + j) })));
  return Diagnosis.parse({
    version: 1,
    model: {
      name: 'SmolLM2-135M-Instruct',
      family: 'llama',
      layers,
      hidden: 576,
      parameters: 134515008,
      sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
      precision: 'fp32 from Q4_1',
    },
    corpus: { name: 'starter', authored: true, sha256: '6a289ec5f814ec975deacc244ed7b5758911611847c0834bf6b2f32817722aea' },
    template: '{action} is morally',
    profile: 'rigorous',
    seed: 7,
    permutations: 200,
    bootstraps: 500,
    n: { rows: 1804, texts: 1703, perPole: record(POLES, (_, i) => 140 + i), neutrals: record(FOUNDATIONS, () => 60) },
    readout: {
      auc: auc(0.79),
      spearman: inventFigure(random, 0.48, 0.05, 0.05),
      bias: { value: 1.32, ci95: [1.22, 1.41] },
      floors: { bagOfWords: { value: 0.76, ci95: [0.71, 0.8] }, recalibrated: { value: 0.82, ci95: [0.78, 0.86] } },
      aucOnTest: auc(0.78),
      words: [
        ['right', 'wrong'],
        ['good', 'bad'],
      ],
    },
    knows: { auc: auc(0.87), spearman: inventFigure(random, 0.61, 0.05, 0.05), layer: 20, pooling },
    poolings: built,
    verdicts: [
      verdict(
        'categorical',
        place,
        best.best.categorical.figure,
        'apart',
        'opposed poles point further apart than relabelled texts do. All texts -.36 [-.44, -.28]; opposed poles of other foundations -.22; length regressed out -.35',
      ),
      verdict(
        'gradient',
        place,
        inventFigure(random, 0.05, 0.08, 0.12),
        'chance',
        'typicality does not follow how strongly people judge, as far as this sample can tell; it would have shown a value above .16',
      ),
      verdict(
        'structural',
        { pooling, layer: null },
        { value: null, why: 'HDBSCAN found no cluster: every text is noise' },
        'empty',
        'not computed',
      ),
      verdict(
        'dimensional',
        place,
        best.best.dimensional.figure,
        'apart',
        'the moral dimensions can be read linearly. Bag of words .09; length regressed out .21',
      ),
      verdict(
        'readout',
        { pooling: null, layer: null },
        auc(0.79),
        'apart',
        'the next word tells virtue from vice. The words lean 1.32 nats toward approval, which is bias and not discrimination',
      ),
    ],
    summary:
      'SmolLM2-135M-Instruct says good and bad apart with AUC .79 [.76, .82] (chance .50); its geometry, at layers chosen on other texts, shows more than chance in the categorical and dimensional analysis and no more than chance in the gradient analysis.',
    map: {
      ...place,
      points: POLES.map((pole, i) => ({ pole, x: (i % 2 ? -0.4 : 0.4) + 0.2 * random.normal(), y: 0.35 * random.normal() })),
    },
    typical: {
      ...place,
      most: typical((i) => ({ human: 1 - 0.125 * (i % 3), model: 0.62 - 0.03 * (i % 7) })),
      least: typical((i) => ({ human: 0.125 * (1 + (i % 5)), model: -0.21 + 0.05 * (i % 6) })),
    },
    manifest: {
      activations: {
        createdAt: '2026-05-04T10:11:12.000Z',
        seconds: 231,
        tool: { name: 'moralscope', version: '0.1.0' },
        machine: { cpu: 'Some CPU @ 2.0 GHz', cores: 2, memoryGiB: 8, platform: 'linux-x64', node: '22.0.0' },
      },
    },
  });
}

/** The same diagnosis with every figure empty. */
export function emptied<T>(value: T): T {
  if (Array.isArray(value)) return value.map(emptied) as T;
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value);
  if (entries.some(([key]) => key === 'value')) return { value: null, why: WHY } as T;
  return Object.fromEntries(entries.map(([key, item]) => [key, emptied(item)])) as T;
}
