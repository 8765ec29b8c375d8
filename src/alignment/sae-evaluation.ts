/** @file What held-out texts say of an aligned autoencoder, beside its control fits. */

import { finite } from '../diagnosis/figure.js';
import type { MatMul } from '../graph/matmul.js';
import type { Intervention } from '../model/intervention.js';
import { POLES } from '../moral/foundation.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import { meanOfFinite, summariseNull } from '../statistics/resampling.js';
import { type ActivationFigures, activationFigures } from './activation-figures.js';
import { judgmentsOf } from './aligned-texts.js';
import { TERMS } from './alignment-loss.js';
import type { Contrast } from './contrast.js';
import { evaluateChange } from './linear-evaluation.js';
import { fitLinear } from './linear-fit.js';
import type { MoralTargets } from './moral-targets.js';
import type { BesideControls, Evaluation, RemedySite } from './remedy-schema.js';
import { activationsOf, changesOf, deltaOf, type SaeFit } from './sae-fit.js';
import { type AlignedSite, fidelityOf, type SaeAlignmentSettings } from './sae-site.js';

/** Draws of the texts behind the interval of a rise. */
const BOOTSTRAPS = 1000;

export interface EvaluatedSite {
  site: string;
  sinkThreshold: number;
  pooling: string;
  /** The autoencoder after alignment. */
  after: SparseAutoencoder;
}

/** What is measured of a control fit. */
interface ControlFit {
  activation: ActivationFigures['mean'];
  evaluation: Evaluation;
}

/** Features, figures before and after on the test texts, curves, and the same figures of the control fits. */
export async function evaluateSite(
  aligned: AlignedSite,
  { site, sinkThreshold, pooling, after }: EvaluatedSite,
  { split, observed, targets, ...contrast }: Contrast & { targets: MoralTargets },
  matmul: MatMul,
  settings: SaeAlignmentSettings,
): Promise<Pick<RemedySite, 'features' | 'alignment' | 'evaluation' | 'curves'>> {
  const { states, test, fit, before, conversion } = aligned;
  const { d } = states;
  const [{ w: probe, difference }] = await fitLinear(states, { split, observed, targets, ...contrast }, [observed], {}, matmul);
  const onTest = targets.on(split.test);
  const judged = judgmentsOf(onTest, settings.profile);
  const evaluated = async (of: SaeFit): Promise<Evaluation> => {
    const change: Intervention = { site, change: deltaOf(before, of), positions: 'all', sinkThreshold };
    const changes = await changesOf(of, test, matmul);
    return evaluateChange(
      {
        on: "the corpus's test texts",
        states: states.test,
        d,
        signed: Float32Array.from(split.test, (text) => observed.signed[text]),
        targets: onTest,
        change,
        strength: 1,
        changed: changes.map((value, at) => value + states.test[at]),
        probe,
        difference,
      },
      matmul,
    );
  };
  const activation = async (of: SaeFit, bootstraps: number) =>
    activationFigures(judged, await activationsOf(of, test, matmul), { bootstraps, seed: settings.seed });
  const [own, evaluation] = [await activation(fit, BOOTSTRAPS), await evaluated(fit)];
  const figuresOf = async (fits: readonly SaeFit[]) => {
    const figures: ControlFit[] = [];
    for (const of of fits) figures.push({ activation: (await activation(of, 0)).mean, evaluation: await evaluated(of) });
    return figures;
  };
  const controls = { shuffled: await figuresOf(aligned.shuffled), relabelled: await figuresOf(aligned.relabelled) };
  const spreads = (of: (fit: ControlFit) => number) => ({
    shuffled: summariseNull(controls.shuffled.map(of)) ?? null,
    relabelled: summariseNull(controls.relabelled.map(of)) ?? null,
  });
  const beside = (sides: { before: number; after: number }, of: (fit: ControlFit) => number): BesideControls => ({
    before: finite(sides.before),
    after: finite(sides.after),
    ...spreads(of),
  });
  const figure = (of: (evaluation: Evaluation, side: 'before' | 'after') => number): BesideControls =>
    beside({ before: of(evaluation, 'before'), after: of(evaluation, 'after') }, (other) => of(other.evaluation, 'after'));
  const { epochs, patience, batch, learningRate, weightDecay } = settings;
  return {
    features: fit.chosen.because.map(({ pole, r, reason }, f) => ({
      latent: fit.chosen.latents[f],
      pole: POLES[pole],
      r,
      reason,
    })),
    alignment: {
      pooling,
      texts: { train: split.train.length, validation: split.validation.length, test: split.test.length },
      fidelity: {
        original: conversion.original,
        converted: conversion.converted,
        aligned: await fidelityOf(after, states.test, settings.threads),
      },
      thresholds: conversion.fit ?? null,
      settings: { epochs, patience, batch, learningRate, weightDecay },
      units: fit.units,
      bestEpoch: fit.bestEpoch,
      activation: {
        perPole: Object.fromEntries(
          own.perPole.map((pole, k) => [POLES[k], { n: pole.n, before: finite(pole.before), after: finite(pole.after) }]),
        ),
        rise: {
          value: finite(own.mean.rise),
          ...(own.mean.ci95 && { ci95: own.mean.ci95 }),
          ...spreads((other) => other.activation.rise),
        },
      },
      beside: {
        activation: beside(own.mean, (other) => other.activation.after),
        opposition: figure(({ opposition }, side) => meanOfFinite(Object.values(opposition).map((of) => of[side] ?? Number.NaN))),
        probe: figure(({ probe: of }, side) => of[side] ?? Number.NaN),
        alongMeans: figure(({ alongMeans }, side) => alongMeans[side] ?? Number.NaN),
        changeNorm: beside({ before: 0, after: evaluation.changeNorm }, (other) => other.evaluation.changeNorm),
      },
    },
    evaluation,
    curves: Object.fromEntries(
      (['train', 'validation'] as const).flatMap((part) =>
        [...TERMS, 'total' as const].map((term) => [`${part}/${term}`, fit.curves.map((epoch) => epoch[part][term])]),
      ),
    ),
  };
}
