/** @file What is to be known of single latents. */
import type { MatMul } from '../graph/matmul.js';
import { takeRows } from '../model/token-rows.js';
import { POLES } from '../moral/foundation.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import { interval95 } from '../statistics/resampling.js';
import { correlations } from '../statistics/sparse-columns.js';
import type { Action, Feature, Histogram } from './features-schema.js';
import type { TextLatents } from './latents-of-texts.js';
import type { Exchange } from './moral-targets.js';
import { paperClass, paperFineTuned } from './paper-rules.js';
import { permutationTest } from './permutation.js';
import {
  bootstrapCorrelations,
  byPole,
  FOLDS,
  numberOrNull,
  type ScreenedVariables,
  type ScreeningDesign,
} from './screened-variables.js';
import type { Fold } from './screening.js';

const NEIGHBOURS = 8;
const NEIGHBOURS_AT_A_TIME = 64;
const HISTOGRAM_BINS = 20;

/** Correlations of some latents with every pole, on texts that did not choose them. */
export async function heldOutCorrelations(
  latents: readonly number[],
  { folds, pairs }: Pick<ScreenedVariables, 'folds' | 'pairs'>,
  content: readonly [Fold, Fold] | undefined,
  design: ScreeningDesign,
  matmul: MatMul,
): Promise<Pick<Feature, 'heldOut' | 'perPole'>[]> {
  const { poles, permutations, seed, signal } = design.options;
  const measure = async (fold: Fold, words: Fold | undefined) => {
    const columns = fold.columns.only(latents);
    const r = correlations(columns, fold.targets.m);
    const all = latents.flatMap((_, latent) => poles.map((pole) => ({ latent, pole, r: r[latent * POLES.length + pole] })));
    const test = (exchange: Exchange) =>
      permutationTest(columns, fold.targets, all, matmul, { exchange, permutations, seed, name: fold.name, signal });
    return {
      r,
      draws: bootstrapCorrelations(fold, columns, { bootstraps: design.bootstraps, seed }),
      texts: await test('texts'),
      topics: await test('within topics'),
      content: words && correlations(words.columns.only(latents), fold.targets.m),
    };
  };
  const measured = [await measure(folds[0], content?.[0]), await measure(folds[1], content?.[1])];
  return latents.map((latent, row) => {
    const judges = new Set(pairs.filter((pair) => pair.latent === latent).map(({ judgedOn }) => judgedOn));
    // A latent that no fold chose, or that each chose, is held out from both or judged on either.
    const held = judges.size === 1 ? [...judges] : [0, 1];
    const over = (of: (fold: (typeof measured)[number]) => number) =>
      held.reduce((sum, fold) => sum + of(measured[fold]), 0) / held.length;
    const smallestP = (of: (fold: (typeof measured)[number]) => number) =>
      Math.min(1, held.length * Math.min(...held.map((fold) => of(measured[fold]))));
    return {
      heldOut: { folds: held.map((fold) => FOLDS[fold]), texts: held.reduce((sum, fold) => sum + folds[fold].targets.length, 0) },
      perPole: byPole((pole) => {
        const test = poles.indexOf(pole);
        if (test < 0) return null;
        const at = row * POLES.length + pole;
        const r = over((fold) => fold.r[at]);
        const draws = measured[0].draws.map((_, b) => over((fold) => fold.draws[b][at]));
        const ci95 = interval95(r, draws, [-1, 1]);
        const pair = row * poles.length + test;
        const q = pairs.filter((one) => one.latent === latent && one.pole === pole).map((one) => one.q);
        return {
          r: numberOrNull(r),
          ...(ci95 && { ci95 }),
          p: smallestP((fold) => fold.texts.p[pair]),
          q: q.length > 0 ? Math.min(...q) : null,
          topic: { expected: over((fold) => fold.topics.expected[pair]), p: smallestP((fold) => fold.topics.p[pair]) },
          content: content ? numberOrNull(over((fold) => fold.content![at])) : null,
        };
      }),
    };
  });
}

/** What the paper's rules make of each latent. */
export function paperVerdicts(r: Float64Array): (latent: number) => Feature['paper'] {
  const fineTuned = paperFineTuned(r, POLES.length);
  return (latent) => ({
    class: paperClass(r.subarray(latent * POLES.length, (latent + 1) * POLES.length)),
    fineTuned: fineTuned.has(latent),
  });
}

/** How often and how strongly a latent is active. */
export function densityOf(latent: number, last: TextLatents, content: TextLatents | undefined): Feature['density'] {
  const { offsets, values } = last.columns;
  const active = values.subarray(offsets[latent], offsets[latent + 1]);
  const max = active.reduce((a, b) => Math.max(a, b), 0);
  return {
    texts: last.fires[latent] / last.states,
    tokens: content ? content.fires[latent] / content.states : null,
    mean: active.length > 0 ? active.reduce((a, b) => a + b, 0) / active.length : 0,
    max,
    histogram: max > 0 ? histogram(active, 0, max, HISTOGRAM_BINS) : [],
  };
}

/** Of log10 of the share of states in which each latent is active, in quarters of a power of ten. */
export function densities({ fires, states }: TextLatents): { states: number; dead: number; histogram: Histogram } {
  const logs = Array.from(fires)
    .filter((count) => count > 0)
    .map((count) => Math.log10(count / states));
  const low = Math.floor(Math.log10(1 / states));
  return { states, dead: fires.length - logs.length, histogram: histogram(logs, low, 0, -4 * low) };
}

function histogram(values: Iterable<number>, low: number, high: number, bins: number): Histogram {
  const width = (high - low) / bins;
  const counts = Array.from({ length: bins }, (_, i) => ({ from: low + i * width, to: low + (i + 1) * width, count: 0 }));
  for (const value of values) counts[Math.max(0, Math.min(bins - 1, Math.floor((value - low) / width)))].count++;
  return counts;
}

/** The texts with the largest z > 0 of a latent, falling. */
export function topTexts({ columns }: TextLatents, latent: number, count: number): { row: number; z: number }[] {
  const { offsets, items, values } = columns;
  return Array.from({ length: columns.count(latent) }, (_, i) => ({
    row: items[offsets[latent] + i],
    z: values[offsets[latent] + i],
  }))
    .sort((a, b) => b.z - a.z || a.row - b.row)
    .slice(0, count);
}

/** Poles of which a text has m > 0. @param position among the judged texts; -1: not judged */
export function judgedPoles(m: readonly Float32Array[], position: number): Action['judged'] {
  if (position < 0) return {};
  return Object.fromEntries(POLES.map((pole, i) => [pole, m[i][position]] as const).filter(([, value]) => value > 0));
}

/** Cosine of a latent's encoder column with its decoder row; null where one has no length. */
export function encoderDecoderCosine(
  { spec: { dIn, width }, weights: { wEnc, wDec } }: SparseAutoencoder,
  latent: number,
): number | null {
  let [product, encoder, decoder] = [0, 0, 0];
  for (let c = 0; c < dIn; c++) {
    const [e, d] = [wEnc[c * width + latent], wDec[latent * dIn + c]];
    product += e * d;
    encoder += e * e;
    decoder += d * d;
  }
  return encoder > 0 && decoder > 0 ? product / Math.sqrt(encoder * decoder) : null;
}

/** Of some latents those whose decoder rows have the largest cosine with theirs, falling. */
export async function decoderNeighbours(
  { spec: { dIn, width }, weights: { wDec } }: SparseAutoencoder,
  latents: readonly number[],
  matmul: MatMul,
): Promise<Feature['neighbours'][]> {
  const norms = Float64Array.from({ length: width }, (_, j) => Math.hypot(...wDec.subarray(j * dIn, (j + 1) * dIn)));
  const found: Feature['neighbours'][] = [];
  for (let from = 0; from < latents.length; from += NEIGHBOURS_AT_A_TIME) {
    const some = latents.slice(from, from + NEIGHBOURS_AT_A_TIME);
    const rows = takeRows(wDec, dIn, Int32Array.from(some));
    const products = await matmul.product(rows, wDec, { m: some.length, n: width, k: dIn, transposeB: true });
    some.forEach((latent, i) => {
      const cosine = (j: number) => products[i * width + j] / norms[j] / norms[latent];
      const others = Array.from({ length: width }, (_, j) => j).filter((j) => j !== latent && norms[j] * norms[latent] > 0);
      const nearest = others.sort((a, b) => cosine(b) - cosine(a) || a - b).slice(0, NEIGHBOURS);
      found.push(nearest.map((j) => ({ latent: j, cosine: cosine(j) })));
    });
  }
  return found;
}
