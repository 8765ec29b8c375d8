/** @file The linear peers of docs/paper.md section 8 as remedies, with their controls. */
import type { ActivationDirectory } from '../activations/directory.js';
import type { SafetensorsTensor } from '../checkpoint/safetensors.js';
import { requireFinite } from '../diagnosis/states.js';
import { number } from '../diagnosis/verdict.js';
import { throwIfCancelled } from '../errors.js';
import { MatMul } from '../graph/matmul.js';
import type { Change } from '../model/intervention.js';
import { formatSite } from '../model/site.js';
import type { WorkOptions } from '../progress.js';
import { Random } from '../random.js';
import { sinkThreshold } from '../sae/states.js';
import type { PreparedRemedy } from './align.js';
import type { AlignSettings } from './align-options.js';
import { type Contrast, fittedTexts } from './contrast.js';
import { evaluateChange } from './linear-evaluation.js';
import { type SiteStates, splitStates } from './linear-fit.js';
import { LinearInputs } from './linear-inputs.js';
import { type LinearKind, type LinearSite, linearSite, pushedAlong, readBy } from './linear-vectors.js';
import type { MadeRemedy } from './remedy.js';
import { armNames, randomArms, randomDirections } from './remedy-controls.js';
import { type Arm, REMEDY_ARM, type RemedyContent, type RemedySite } from './remedy-schema.js';
import { SHARED, tensorName } from './remedy-tensors.js';

type Options = AlignSettings & WorkOptions;

/** Opens what a linear remedy is fitted on. */
export async function prepareLinear(options: Options): Promise<PreparedRemedy> {
  const inputs = await LinearInputs.open(options);
  return {
    inputs: inputs.hashes,
    make: async (directory) => {
      const activations = await inputs.activations(directory);
      return makeLinear(inputs, activations, await inputs.contrast(activations), options);
    },
    close: () => inputs.close(),
  };
}

async function makeLinear(
  inputs: LinearInputs,
  activations: ActivationDirectory,
  contrast: Contrast,
  options: Options,
): Promise<MadeRemedy> {
  const { seed, threads, onProgress, signal, controls, shuffles, directions } = options;
  const kind = options.kind as LinearKind;
  const { details } = activations;
  const layers = inputs.layers(activations);
  const modes = [MODES[kind]];
  const arms: Arm[] = [
    { name: REMEDY_ARM, kind: 'remedy', modes },
    ...armNames('shuffled', controls ? shuffles : 0).map((name): Arm => ({ name, kind: 'shuffled', modes, seed })),
    ...randomArms(controls ? directions : 0, seed, [MODES[kind]]),
  ];
  const sites: RemedySite[] = [];
  const tensors: Record<string, SafetensorsTensor> = {};
  const matmul = await MatMul.open(threads, signal);
  try {
    for (const [done, layer] of layers.entries()) {
      throwIfCancelled(signal);
      onProgress?.({ task: 'align', done, total: layers.length, unit: 'layers' });
      const made = await makeSite(activations, layer, contrast, arms, options, matmul);
      sites.push(made.site);
      Object.assign(tensors, made.tensors);
    }
    onProgress?.({ task: 'align', done: layers.length, total: layers.length, unit: 'layers' });
  } finally {
    await matmul.close();
  }
  const { name, sha256, hidden, layers: depth, precision } = details.model;
  const tokenizer = inputs.tokenizer(activations);
  const notes = [...inputs.notes];
  if (tokenizer === null)
    notes.push('The activations do not say which tokenizer they came with, so it is not checked: give --model.');
  if (layers.length > 1)
    notes.push('Each layer was fitted on states that no other layer had changed; together their changes add up.');
  const content: RemedyContent = {
    version: 1,
    kind,
    profile: 'rigorous',
    model: { name, sha256, tokenizer, hidden, layers: depth, precision },
    template: details.template,
    corpus: inputs.source,
    seed,
    sites,
    arms,
    notes,
    summary: '',
  };
  return { content: { ...content, summary: summarise(content, contrast) }, tensors, fittedTexts: fittedTexts(contrast) };
}

/** One layer: the vectors of all arms, and what they show on unseen texts. */
async function makeSite(
  activations: ActivationDirectory,
  layer: number,
  contrast: Contrast,
  arms: readonly Arm[],
  options: Options,
  matmul: MatMul,
): Promise<{ site: RemedySite; tensors: Record<string, SafetensorsTensor> }> {
  const { details, hidden } = activations;
  const { seed } = options;
  const site = formatSite({ layer, point: details.site });
  const all = await activations.read(layer, 'last');
  requireFinite({ n: activations.rows, d: hidden, data: all }, `${activations.path}, ${site}`);
  const states = splitStates(all, hidden, contrast);
  const of = (kind: Arm['kind']) => arms.filter((arm) => arm.kind === kind);
  const [shuffled, random] = [of('shuffled'), of('random')];
  const exchanged = shuffled.map((_, i) => contrast.exchanged(new Random(seed, 'shuffled', i)));
  const made = await linearSite(options.kind as LinearKind, states, contrast, exchanged, options, matmul);
  const tensors: Record<string, SafetensorsTensor> = {};
  const put = (arm: string, named: Readonly<Record<string, Float32Array>>) => {
    for (const [name, data] of Object.entries(named))
      tensors[tensorName(arm, site, name)] = { dtype: 'F32', shape: [data.length], data: new Float32Array(data) };
  };
  const { reads, pushes } = tensorsOf(made.change);
  // Random directions are pushed along by what the remedy itself reads.
  put(SHARED, reads);
  put(REMEDY_ARM, pushes);
  made.shuffled.forEach((change, i) => {
    const own = tensorsOf(change);
    put(shuffled[i].name, { ...own.reads, ...own.pushes });
  });
  const [pushed] = Object.keys(pushes);
  randomDirections(random.length / 2, hidden, made.fit.norm, seed, site).forEach((direction, i) => {
    put(random[i].name, { [pushed]: direction });
  });
  const threshold = sinkThreshold(details.calibration, layer);
  return { site: await describedSite(made, states, contrast, { site, layer, threshold }, matmul), tensors };
}

const MODES = { caa: 'add', pca: 'add', amplify: 'project', conva: 'project' } as const satisfies Record<
  LinearKind,
  Change['mode']
>;

/** What a change reads of a state, and what it adds to it. */
function tensorsOf(change: Change): { reads: Record<string, Float32Array>; pushes: Record<string, Float32Array> } {
  if (change.mode === 'project') return { reads: { w: change.w, b: Float32Array.of(change.b) }, pushes: { u: change.u } };
  return { reads: {}, pushes: { direction: pushedAlong(change) } };
}

async function describedSite(
  { change, fit, probe, difference }: LinearSite,
  { test, d }: SiteStates,
  { split, targets, observed, of }: Contrast,
  { site, layer, threshold }: { site: string; layer: number; threshold: number },
  matmul: MatMul,
): Promise<RemedySite> {
  const evaluation =
    split.test.length === 0
      ? null
      : await evaluateChange(
          {
            on: of === 'pairs' ? 'unseen pairs' : "the corpus's test texts",
            states: test,
            d,
            signed: Float32Array.from(split.test, (text) => observed.signed[text]),
            targets: targets?.on(split.test),
            change: { site, change, positions: 'all', sinkThreshold: threshold },
            strength: 1,
            probe,
            difference,
            read: readBy(change),
          },
          matmul,
        );
  const { mode } = change;
  return {
    site,
    layer,
    sinkThreshold: threshold,
    modes: [mode],
    ...(mode === 'project' && { gate: change.gate }),
    fit,
    evaluation,
  };
}

function summarise({ kind, model, sites, arms }: RemedyContent, { of, split }: Contrast): string {
  const fitted = of === 'pairs' ? `${split.train.length / 2} pairs` : `${split.train.length} texts`;
  const lines = sites.map(({ layer, evaluation, fit }) =>
    evaluation
      ? `layer ${layer}: what it reads tells good from bad with AUC ${number(fit?.read.auc)}${fit?.read.shuffled ? ` (shuffled fits ${number(fit.read.shuffled.mean)}, 95% ${number(fit.read.shuffled.q025)} to ${number(fit.read.shuffled.q975)})` : ''} on ${evaluation.virtues + evaluation.vices} unseen texts; along the difference of means ${number(evaluation.alongMeans.before)}, and ${number(evaluation.alongMeans.after)} at strength 1`
      : `layer ${layer}: no text was left to evaluate on`,
  );
  const controls = arms.length > 1 ? ` ${arms.length - 1} controls stand beside it.` : '';
  return `${kind} for ${model.name}, fitted on ${fitted}; ${lines.join('; ')}.${controls} What the model then says is for verify to measure.`;
}
