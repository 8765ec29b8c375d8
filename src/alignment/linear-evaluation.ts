/** @file What texts that nothing was fitted on say of a change of states at its own site. */

import { oppositions } from '../diagnosis/categorical.js';
import { finite } from '../diagnosis/figure.js';
import { poleCorrelations, poleScores } from '../diagnosis/gradient.js';
import { visitPrototypes } from '../diagnosis/prototypes.js';
import { polarityLabels } from '../diagnosis/readout.js';
import { centre } from '../diagnosis/states.js';
import type { MatMul } from '../graph/matmul.js';
import type { Intervention } from '../model/intervention.js';
import { FOUNDATIONS, POLES } from '../moral/foundation.js';
import { auc, spearman } from '../statistics/ranks.js';
import { changedStates } from './changed-states.js';
import { products } from './linear-fit.js';
import type { MoralTargets } from './moral-targets.js';
import type { Evaluation } from './remedy-schema.js';

export interface EvaluatedChange {
  /** What the texts are, for the reader. */
  on: string;
  /** States of held-out texts at the site, [n, d]. */
  states: Float32Array;
  d: number;
  /** Their signed judgments. */
  signed: Float32Array;
  /** The same texts with their foundations; undefined for pairs, whose good texts stand before their bad ones. */
  targets: MoralTargets | undefined;
  change: Intervention;
  strength: number;
  /** The states after it, where they are known, [n, d]. */
  changed?: Float32Array | undefined;
  /** A linear probe and the difference of means of the training texts' states, [d]. */
  probe: Float64Array;
  difference: Float64Array;
  /** What the remedy itself reads, [d]. */
  read?: Float64Array | Float32Array | undefined;
}

/** Measures of the states as they are and as they become; null where a measure cannot be computed. */
export async function evaluateChange(given: EvaluatedChange, matmul: MatMul): Promise<Evaluation> {
  const { on, states, d, signed, targets, change, strength, read } = given;
  const labels = polarityLabels(signed);
  const sides = [states, given.changed ?? changedStates(states, d, change, strength)] as const;
  const judged = labels.filter((label) => label >= 0).length;
  const compared = (n: number, of: (x: Float32Array) => number) => ({
    n,
    before: finite(of(sides[0])),
    after: finite(of(sides[1])),
  });
  const discrimination = (w: Float64Array) => compared(judged, (x) => auc(products(x, w), labels));
  const geometry = targets && (await Promise.all(sides.map((x) => geometryOf(x, d, targets, matmul))));
  const along = (x: Float32Array) => products(x, given.difference);
  const reading = read && products(states, read);
  return {
    on,
    texts: signed.length,
    virtues: labels.filter((label) => label === 1).length,
    vices: labels.filter((label) => label === 0).length,
    strength,
    mode: change.change.mode,
    probe: discrimination(given.probe),
    alongMeans: discrimination(given.difference),
    ...(!targets && { pairsRight: compared(signed.length / 2, (x) => pairsRight(along(x))) }),
    perPole: Object.fromEntries(
      geometry
        ? POLES.map((pole, k) => {
            const [before, after] = geometry.map(({ correlations }) => finite(correlations[k]));
            const { texts } = geometry[0];
            const among = <T extends Float32Array | Float64Array>(values: T) => values.filter((_, i) => texts[k].has(i));
            const own = reading && finite(spearman(among(reading), among(targets.m[k])));
            return [pole, { n: texts[k].size, before, after, ...(reading && { read: own }) }];
          })
        : [],
    ),
    opposition: Object.fromEntries(
      geometry
        ? FOUNDATIONS.map((name, f) => {
            const [before, after] = geometry.map(({ opposition }) => finite(opposition[f]));
            return [name, { n: targets.texts.membersOf(f).length, before, after }];
          })
        : [],
    ),
    changeNorm: meanLength(
      sides[1].map((value, at) => value - sides[0][at]),
      d,
    ),
    stateNorm: meanLength(centre({ n: states.length / d, d, data: states }).data, d),
  };
}

/** Spearman by pole, with the texts that it is of, and the cosine of opposed prototypes by foundation. */
async function geometryOf(x: Float32Array, d: number, { texts, length }: MoralTargets, matmul: MatMul) {
  const found: { texts: Set<number>[]; correlations: Float64Array; opposition: Float64Array }[] = [];
  const observed = { signed: texts.signed, m: texts.moralVectors() };
  const centred = centre({ n: length, d, data: x });
  await visitPrototypes(texts, centred, [observed], matmul, { oneFoundation: false }, (drawn) => {
    found.push({
      texts: POLES.map((_, k) => new Set(poleScores(drawn, k).text)),
      correlations: poleCorrelations(drawn),
      opposition: oppositions(drawn),
    });
  });
  return found[0];
}

/** Share of pairs whose first scores higher; ties count half. */
export function pairsRight(scores: ArrayLike<number>): number {
  let right = 0;
  for (let i = 0; i < scores.length; i += 2) right += scores[i] > scores[i + 1] ? 1 : scores[i] === scores[i + 1] ? 0.5 : 0;
  return right / (scores.length / 2);
}

/** Mean length of rows x [n, d]. */
export function meanLength(x: Float32Array, d: number): number {
  let sum = 0;
  for (let from = 0; from < x.length; from += d) {
    let square = 0;
    for (let at = from; at < from + d; at++) square += x[at] * x[at];
    sum += Math.sqrt(square);
  }
  return sum / (x.length / d);
}
