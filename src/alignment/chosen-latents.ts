/** @file Which latents are aligned, and why (docs/paper.md section 6, the fine-tuned set). */
import { halveTexts } from '../diagnosis/split.js';
import { MoralscopeError } from '../errors.js';
import type { MatMul } from '../graph/matmul.js';
import { POLES } from '../moral/foundation.js';
import { correlations, type SparseColumns } from '../statistics/sparse-columns.js';
import { type MoralTargets, polesToScreen } from './moral-targets.js';
import { dominantPole, paperFineTuned, TOP } from './paper-rules.js';
import { type Fold, type ScreenedPair, type ScreenOptions, screen, survivors } from './screening.js';

const K = POLES.length;
/** Below this many texts each half chooses for the other. */
const LARGE = 4000;

/** The latents to align. */
export interface ChosenLatents {
  /** Ascending. */
  latents: Int32Array;
  /** r of each with every pole on the texts that the map is made from, [latents, 10]. */
  r: Float64Array;
  /** Of each: a pole that it was chosen for, its r there on the texts that judged it, and the rule in words. */
  because: { pole: number; r: number; reason: string }[];
}

type Because = ChosenLatents['because'][number];

/** z of all latents on some texts, and the judgments of these. */
export interface ScreenedTexts {
  columns: SparseColumns;
  targets: MoralTargets;
}

/**
 * [paper] Latents with max |r| > .1 whose largest |r| is above 1.5 times the second, and of each pole the 50 with the largest r > .1: r
 * of the validation texts, nothing held out.
 * @throws MoralscopeError `bad-data` where no pole has enough texts, or no latent meets the rule
 */
export function choosePaper(validation: ScreenedTexts, where: string): ChosenLatents {
  const { screened } = polesToScreen([validation.targets]);
  const r = among(correlations(validation.columns, validation.targets.m), screened);
  const found = new Map<number, Because>();
  for (const [latent, { pole, rule }] of paperFineTuned(r, K))
    found.set(latent, {
      pole,
      r: r[latent * K + pole],
      reason: rule === 'dominant' ? dominant(pole) : `among the ${TOP} with the largest r with ${POLES[pole]}`,
    });
  if (found.size === 0)
    throw new MoralscopeError(
      'bad-data',
      `No latent at ${where} has |r| > .1 with a pole on the ${validation.targets.length} validation texts (the paper's rule).`,
      'Take a wider autoencoder, another layer, or a larger corpus.',
    );
  return listed(found, r);
}

/**
 * [ours] One half of the training texts proposes latents with |r| of at least `minEffect`, the other judges them (permutation p, false
 * discovery rate); below 4,000 texts the other way round as well. Of the latents that survive, those of the paper's set: whose largest
 * |r| is that of a pole they survive for and above 1.5 times the second, and of each pole the 50 survivors with the largest r > 0. The map is
 * made from r of all training texts.
 * @throws MoralscopeError `bad-data` where no pole has enough texts, or none survives
 */
export async function chooseRigorous(
  { columns, targets }: ScreenedTexts,
  where: string,
  matmul: MatMul,
  options: Omit<ScreenOptions, 'poles'>,
): Promise<ChosenLatents> {
  const halves = halveTexts(targets.length, options.seed);
  const fold = (i: 0 | 1): Fold => ({ name: 'AB'[i], columns: columns.on(halves[i]), targets: targets.on(halves[i]) });
  const folds = [fold(0), fold(1)] as const;
  const { screened: poles } = polesToScreen(folds.map((half) => half.targets));
  const m = [folds[0].targets.m, folds[1].targets.m] as const;
  const [pairs] = await screen(folds, [m], targets.length < LARGE, matmul, { ...options, poles });
  const surviving = survivors(pairs, options.level);
  const r = among(correlations(columns, targets.m), poles);
  const found = new Map<number, Because>();
  const add = (pair: ScreenedPair, rule: string) => {
    if (found.has(pair.latent)) return;
    const reason = `survives on texts that did not choose it (q ${pair.q.toPrecision(2)}); ${rule}`;
    found.set(pair.latent, { pole: pair.pole, r: pair.r, reason });
  };
  for (const pair of surviving) {
    if (dominantPole(r.subarray(pair.latent * K, (pair.latent + 1) * K)) === pair.pole) add(pair, dominant(pair.pole));
  }
  for (const pole of poles) {
    const of = surviving.filter((pair) => pair.pole === pole && pair.r > 0).sort((a, b) => b.r - a.r);
    for (const pair of of.slice(0, TOP)) add(pair, `among the ${TOP} survivors with the largest r with ${POLES[pole]}`);
  }
  if (found.size === 0)
    throw new MoralscopeError(
      'bad-data',
      `No latent at ${where} survives as a moral feature: ${pairs.length} tests on halves of ${targets.length} training texts (false discovery rate ${options.level}, |r| at least ${options.minEffect}), ${surviving.length} pairs survive and none in the right sense.`,
      'Take a larger corpus, a wider autoencoder or another layer; --profile paper chooses by r alone.',
    );
  return listed(found, r);
}

/**
 * As many latents of each pole as another choice has, as far as there are any with r > 0: those with the largest. So a control on
 * exchanged judgments chooses.
 * @param targets what the texts of `columns` are taken to be judged, [10][texts]
 * @param fewest texts that a latent must be active on
 */
export function chooseLike(
  other: ChosenLatents,
  columns: SparseColumns,
  targets: readonly Float32Array[],
  fewest: number,
): ChosenLatents {
  const left = new Int32Array(K);
  for (let f = 0; f < other.latents.length; f++) left[dimensionOf(other.r, f)]++;
  const poles = POLES.map((_, pole) => pole).filter((pole) => other.r.some((value, at) => at % K === pole && value !== 0));
  const r = among(correlations(columns, targets), poles);
  const pairs: { latent: number; pole: number; r: number }[] = [];
  for (let latent = 0; latent < columns.width; latent++)
    if (columns.count(latent) >= fewest)
      for (let pole = 0; pole < K; pole++) if (r[latent * K + pole] > 0) pairs.push({ latent, pole, r: r[latent * K + pole] });
  pairs.sort((a, b) => b.r - a.r || a.latent - b.latent || a.pole - b.pole);
  const found = new Map<number, Because>();
  for (const { latent, pole, r: size } of pairs) {
    if (left[pole] === 0 || found.has(latent)) continue;
    left[pole]--;
    found.set(latent, { pole, r: size, reason: 'one of the largest r with exchanged judgments' });
  }
  return listed(found, r);
}

function listed(found: ReadonlyMap<number, Because>, r: Float64Array): ChosenLatents {
  const latents = Int32Array.from(found.keys()).sort();
  const own = new Float64Array(latents.length * K);
  latents.forEach((latent, f) => {
    own.set(r.subarray(latent * K, (latent + 1) * K), f * K);
  });
  return { latents, r: own, because: Array.from(latents, (latent) => found.get(latent)!) };
}

/** r where it is a number and the pole has enough texts, else 0. */
function among(r: Float64Array, poles: readonly number[]): Float64Array {
  return r.map((value, at) => (poles.includes(at % K) ? value || 0 : 0));
}

const dominant = (pole: number) => `its |r| with ${POLES[pole]} is above 1.5 times that with any other pole`;

function dimensionOf(r: Float64Array, f: number): number {
  const own = r.subarray(f * K, (f + 1) * K);
  return own.indexOf(Math.max(...own));
}
