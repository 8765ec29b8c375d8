/** @file For tests; not part of the package. Judgments and states whose signal is known. */
import { ACTIVATIONS_FORMAT, ACTIVATIONS_VERSION, type ActivationDetails } from '../activations/details.js';
import { POOLINGS, type Pooling } from '../activations/pooling.js';
import { distinct, writeRows } from '../activations/rows.js';
import { ShardBuffer } from '../activations/shard.js';
import { ArtifactDirectory } from '../artifact/directory.js';
import { type Corpus, contentHash } from '../moral/corpus.js';
import { POLES } from '../moral/foundation.js';
import { Random } from '../random.js';
import { JudgedTexts } from './judged-texts.js';
import type { States } from './states.js';

const LEVELS = [-1, -0.75, -0.5, -0.25, 0, 0, 0.25, 0.5, 0.75, 1];
const WORDS = 'ask bring call dog eat friend give house idea joke keep letter money neighbour open party'.split(' ');

/** Texts of random words with random judgments; `shared` of them carry two foundations. */
export function randomCorpus(texts: number, seed: number, shared = 0.15): Corpus {
  const random = new Random(seed, 'corpus');
  const lines = Array.from({ length: texts }, (_, i) =>
    [`text${i}`, ...Array.from({ length: 1 + random.below(6) }, () => WORDS[random.below(WORDS.length)])].join(' '),
  );
  const rows: [number, number, number][] = [];
  for (let text = 0; text < texts; text++) {
    const first = random.below(5);
    const signed = LEVELS[random.below(LEVELS.length)];
    rows.push([text, first, signed]);
    if (random.uniform() < shared) rows.push([text, (first + 1) % 5, signed]);
  }
  const columns = {
    length: rows.length,
    text: Int32Array.from(rows, (r) => r[0]),
    annotation: Int32Array.from(rows, (r) => r[0]),
    foundation: Uint8Array.from(rows, (r) => r[1]),
    signed: Float32Array.from(rows, (r) => r[2]),
  };
  return { name: 'planted', authored: true, sha256: contentHash(lines, columns), texts: lines, rows: columns };
}

export interface Signal {
  /** States move by this much along one direction from judgment 0 to judgment 1. */
  valence: number;
  /** Length of the vector that the texts of a foundation share. */
  topic?: number;
  /** States move by this much along the pole's own direction from m = 0 to m = 1. */
  poles?: number;
}

/** States [texts, d] of unit noise around a constant of 1,000, with the signal on top. */
export function plantedStates(corpus: Corpus, d: number, seed: number, { valence, topic = 0, poles = 0 }: Signal): States {
  const texts = JudgedTexts.of(corpus);
  const judged = texts.valence();
  const unit = (...name: (string | number)[]) => {
    const random = new Random(seed, ...name);
    const v = Float64Array.from({ length: d }, () => random.normal());
    const norm = Math.hypot(...v);
    return v.map((x) => x / norm);
  };
  const along = unit('valence');
  const m = texts.moralVectors().map((v) => (Number.isNaN(v) ? 0 : v));
  const ownWay = POLES.map((pole) => unit(pole));
  const topics = Array.from({ length: 5 }, (_, f) => unit('topic', f));
  const random = new Random(seed, 'noise');
  const data = new Float32Array(corpus.texts.length * d);
  for (let i = 0; i < corpus.texts.length; i++)
    for (let j = 0; j < d; j++)
      data[i * d + j] =
        (j === 1 ? 1000 : 0) +
        random.normal() +
        valence * judged[i] * along[j] +
        topic * topics[texts.firstFoundation(i)][j] +
        poles * ownWay.reduce((sum, way, k) => sum + m[k * texts.length + i] * way[j], 0);
  return { n: corpus.texts.length, d, data };
}

export interface PlantedCapture {
  corpus: Corpus;
  seed: number;
  /** Signal of each layer. */
  layers: Signal[];
  poolings?: readonly Pooling[];
  /** Nats of the readout's log-odds from judgment 0 to judgment 1; absent: captured without a readout. */
  readout?: number;
  hidden?: number;
  /** Changes the states before they are written. */
  edit?: (layer: number, pooling: Pooling, states: Float32Array) => void;
}

/** Writes an activation directory as `capture` does: two shards, the second half of the rows in the first. */
export async function writeActivations(out: string, options: PlantedCapture): Promise<void> {
  const { corpus, seed, layers, poolings = POOLINGS, readout, hidden = 12 } = options;
  const n = corpus.texts.length;
  const directory = await ArtifactDirectory.open(out, {
    format: ACTIVATIONS_FORMAT,
    formatVersion: ACTIVATIONS_VERSION,
    seed,
    options: {},
    inputs: [{ name: 'corpus', sha256: corpus.sha256 }],
  });
  await writeRows(directory.path, distinct(corpus.texts));
  const lengths = Int32Array.from(corpus.texts, (text) => 3 + text.split(' ').length);
  const states = layers.map((signal, layer) =>
    Object.fromEntries(
      poolings.map((pooling) => {
        const { data } = plantedStates(corpus, hidden, seed + 10 * layer, signal);
        options.edit?.(layer, pooling, data);
        return [pooling, data];
      }),
    ),
  );
  const random = new Random(seed, 'readout');
  const judged = JudgedTexts.of(corpus).valence();
  const logProbs = Float32Array.from({ length: n * 4 }, (_, at) => {
    const side = at % 2 === 0 ? 0.5 : -0.5;
    return -3 + 0.3 * random.normal() + side * (0.7 + (readout ?? 0) * judged[Math.floor(at / 4)]);
  });
  const sites = layers.map((_, layer) => `blocks.${layer}.hook_resid_post`);
  const half = Math.floor(n / 2);
  const shards: ActivationDetails['shards'] = [];
  for (const [file, from, to] of [
    ['shard-00000.safetensors', half, n],
    ['shard-00001.safetensors', 0, half],
  ] as const) {
    const rows = Int32Array.from({ length: to - from }, (_, i) => from + i);
    const buffer = new ShardBuffer(
      directory.file(file),
      { sites, poolings, tokens: false, hidden },
      rows,
      lengths.slice(from, to),
    );
    const norms = Float32Array.from({ length: 2 * rows.length }, (_, i) => (i % 2 === 0 ? 5000 : 1000));
    buffer.add(
      rows.length,
      states.map((pooled) => ({
        pooled: Object.fromEntries(
          Object.entries(pooled).map(([pooling, data]) => [pooling, data.slice(from * hidden, to * hidden)]),
        ),
        norms,
      })),
    );
    if (readout !== undefined) buffer.addLogProbs(4, logProbs.subarray(from * 4, to * 4));
    shards.push({ file, rows: rows.length, bytes: await buffer.write() });
  }
  const details: ActivationDetails = {
    model: {
      name: 'planted',
      family: 'none',
      layers: layers.length,
      hidden,
      vocabulary: 4,
      parameters: 1,
      sha256: '0'.repeat(64),
      tokenizer: null,
      precision: 'fp32',
    },
    corpus: { name: corpus.name, authored: corpus.authored, sha256: corpus.sha256 },
    template: '{action} is morally',
    site: 'resid_post',
    layers: layers.map((_, layer) => layer),
    poolings: [...poolings],
    rows: n,
    tokens: lengths.reduce((a, b) => a + b),
    truncated: 0,
    maxTokens: 128,
    shards,
    precisionError: null,
    calibration: layers.map((_, layer) => ({ layer, medianNorm: 1000, threshold: 3000 })),
    readout:
      readout === undefined
        ? null
        : {
            tokenIds: [0, 1, 2, 3],
            tokens: [' right', ' wrong', ' good', ' bad'],
            pairs: [
              [0, 1],
              [2, 3],
            ],
            words: [
              ['right', 'wrong'],
              ['good', 'bad'],
            ],
            sample: n,
          },
    computed: 0,
    work: { opening: 0, forward: 0, pooling: 0, readout: 0, writing: 0 },
  };
  await directory.finish(details);
}
