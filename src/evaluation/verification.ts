/** @file A whole verification: from texts and a remedy to the content of verify.json. */
import { wordPairs } from '../activations/calibration.js';
import { capture } from '../activations/capture.js';
import type { ActivationDirectory } from '../activations/directory.js';
import { distinct } from '../activations/rows.js';
import { precisionError } from '../diagnosis/precision-error.js';
import type { States } from '../diagnosis/states.js';
import { MoralscopeError } from '../errors.js';
import { MatMul } from '../graph/matmul.js';
import { parseSite, type Site } from '../model/site.js';
import { takeRows } from '../model/token-rows.js';
import { choose } from './choice.js';
import { measureDamage } from './damage.js';
import { bagOfWordsScores, carriedScores, probeScores, recalibratedScores } from './held-out-scores.js';
import { readOdds } from './readings.js';
import { rediagnose } from './rediagnosis.js';
import { type Chosen, type ControlArm, kindsOf, type Run, type Subjects } from './run.js';
import { type OtherReaders, saidFigures } from './said.js';
import type { Verification, VerifiedSet } from './schema.js';
import { strengthsIn } from './steered-arms.js';
import { SteeredSessions } from './steered-sessions.js';
import { overallVerdict, setVerdict } from './verdict.js';
import { judgedTexts, type VerifiedTexts } from './verified-sets.js';

/** @throws MoralscopeError `bad-data` where no antonym pair can be read; what the model throws; `cancelled` */
export async function findVerification(subjects: Subjects): Promise<Verification> {
  const { model, remedy, remedySha256, template, sets, options } = subjects;
  const { precision, threads, onProgress, signal, seed, bootstraps, positions } = options;
  const strengths = remedy.sites.length === 0 ? [1] : options.strengths;
  if (wordPairs(model.tokenizer, template).length === 0)
    throw new MoralscopeError(
      'bad-data',
      `No antonym pair is a single token each in the vocabulary of ${model.name}, so nothing it says can be read.`,
      'Verify another model.',
    );
  const steered = new SteeredSessions(model, { precision, threads, onProgress, signal });
  const matmul = await MatMul.open(threads, signal);
  const controls = remedy.arms.filter((arm): arm is ControlArm => arm.kind !== 'remedy');
  const run: Run = { ...subjects, steered, matmul, controls, strengths };
  try {
    const choosing = sets.find(({ choose: texts }) => texts.length > 0)!;
    const { variant, ...choice } = await choose(run, choosing);
    const chosen: Chosen = { variant, strength: choice.chosen.strength };
    const site = siteOf(run, chosen);
    const captured: CapturedSet[] = [];
    for (const part of sets) captured.push({ part, directory: await captureSet(run, part, site) });
    const { words } = captured[0].directory.details.readout!;
    const origin = captured.find(({ part }) => part.origin);
    const verified: VerifiedSet[] = [];
    for (const each of captured) verified.push(await verifySet(run, each, origin, chosen));
    const damage = await measureDamage(run, chosen);
    const { rediagnosis, notes } = await rediagnose(run, chosen);
    const { kind, profile, corpus, summary } = remedy.content;
    const found: Omit<Verification, 'verdict'> = {
      version: 1,
      model: { name: model.name, sha256: model.sha256, precision, layers: model.spec.layers },
      remedy: {
        kind,
        profile,
        sha256: remedySha256,
        fittedOn: corpus && { name: corpus.name, sha256: corpus.sha256, pairs: corpus.pairs },
        sites: remedy.sites.map(({ site, layer }) => ({ site, layer })),
        controls: kindsOf(controls).map((each) => ({ kind: each, n: controls.filter((arm) => arm.kind === each).length })),
        summary,
      },
      template,
      positions,
      words,
      seed,
      bootstraps,
      choice: { on: choosing.set.name, texts: choosing.choose.length, ...choice },
      sets: verified,
      damage,
      rediagnosis,
      notes,
    };
    return { ...found, verdict: overallVerdict(found) };
  } finally {
    await matmul.close();
  }
}

/** The last of the steered sites: what is known there is set against what is said. For a prompt two thirds of the way up. */
function siteOf({ model }: Run, { variant }: Chosen): Site {
  const { layers } = model.spec;
  const last = variant.sites.at(-1);
  return last === undefined ? { layer: Math.round((2 / 3) * (layers - 1)), point: 'resid_post' } : parseSite(last, layers);
}

/** A data set, and the untouched model's states of it. */
interface CapturedSet {
  part: VerifiedTexts;
  directory: ActivationDirectory;
}

/** @param origin the set that the remedy was fitted on, where it is given */
async function verifySet(run: Run, own: CapturedSet, origin: CapturedSet | undefined, chosen: Chosen): Promise<VerifiedSet> {
  const { part } = own;
  const { set, test, folds, fittedOn, relation, seen, beyond } = part;
  const strengths = strengthsIn(chosen.variant, run.strengths);
  const { bootstraps, seed } = run.options;
  const { layer } = siteOf(run, chosen);
  const readers = await otherReaders(run, own, fittedOn ? undefined : origin, layer);
  const odds = await readOdds(run, part, chosen);
  const texts = judgedTexts(part);
  const figures = saidFigures(texts, odds, readers, { strengths, chosen: strengths.indexOf(chosen.strength), bootstraps, seed });
  const count = (is: (valence: number) => boolean) => texts.valence.filter(is).length;
  const measured = {
    name: set.name,
    kind: set.kind,
    sha256: set.sha256,
    authored: set.authored,
    fittedOn,
    relation,
    n: {
      texts: test.length,
      ...(set.pairs && { pairs: texts.units }),
      virtues: count((valence) => valence > 0),
      vices: count((valence) => valence < 0),
      neutrals: count((valence) => valence === 0),
      training: Math.min(...folds.map(({ train }) => train.length)),
      seen,
      beyond,
    },
    ...figures,
    knows: { layer, ...figures.knows },
  };
  return { ...measured, ...setVerdict(measured) };
}

/** The untouched model's states at the site, and its next-token log-probabilities. */
function captureSet(
  { model, template, options, activations }: Run,
  { set }: VerifiedTexts,
  { layer, point }: Site,
): Promise<ActivationDirectory> {
  const { precision, seed, threads, onProgress, signal } = options;
  return capture({
    model,
    texts: set.texts,
    out: activations(set.sha256.slice(0, 16)),
    layers: [layer],
    site: point,
    pools: ['last'],
    template,
    readout: true,
    precision,
    measurePrecision: precisionError,
    seed,
    threads,
    onProgress,
    signal,
  });
}

/**
 * What the probe and the floors tell of the texts that the remedy is judged on.
 * @param origin another set, whose training texts a probe is carried over from
 */
async function otherReaders(
  { matmul, kept }: Run,
  own: CapturedSet,
  origin: CapturedSet | undefined,
  layer: number,
): Promise<OtherReaders> {
  const { set, test, folds } = own.part;
  const { rowOf } = distinct(set.texts);
  const scores = await kept.get(['readers', set.sha256, origin?.part.set.sha256, layer], async () => {
    const { logProbs, tokenIds } = (await own.directory.readout())!;
    const states = await statesOf(own, layer);
    return {
      knows: await probeScores(states, set.valence, folds, matmul),
      carried: origin && (await carriedScores({ ...origin.part, states: await statesOf(origin, layer) }, states, matmul)),
      bagOfWords: await bagOfWordsScores(set, folds, matmul),
      recalibrated: await recalibratedScores(takeRows(logProbs, tokenIds.length, rowOf), set.valence, folds),
    };
  });
  const ofTest = (all: Float64Array) => Float64Array.from(test, (text) => all[text]);
  return {
    knows: ofTest(scores.knows),
    carried: scores.carried && ofTest(scores.carried),
    bagOfWords: ofTest(scores.bagOfWords),
    recalibrated: ofTest(scores.recalibrated),
  };
}

/** The states of a set's texts, in their order. */
async function statesOf({ part, directory }: CapturedSet, layer: number): Promise<States> {
  const { rowOf } = distinct(part.set.texts);
  const { hidden } = directory;
  return { n: rowOf.length, d: hidden, data: takeRows(await directory.read(layer, 'last'), hidden, rowOf) };
}
