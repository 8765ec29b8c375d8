import type { z } from 'zod';
import { ArtifactDirectory } from '../artifact/directory.js';
import { KeptWork } from '../artifact/kept-work.js';
import type { Manifest } from '../artifact/manifest.js';
import { MoralscopeError } from '../errors.js';
import type { WorkOptions } from '../progress.js';
import { runOnOptions } from '../work-thread.js';
import { AlignOptions, type AlignSettings } from './align-options.js';
import { prepareLinear } from './linear-remedy.js';
import { preparePrompt } from './prompt-remedy.js';
import { type MadeRemedy, openRemedy, REMEDY_FORMAT, REMEDY_VERSION, writeRemedy } from './remedy.js';
import type { RemedyContent, RemedyKind } from './remedy-schema.js';
import { prepareSae } from './sae-remedy.js';

export interface AlignedRemedy {
  /** remedy.json */
  content: RemedyContent;
  manifest: Manifest;
  /** Where manifest.json, remedy.json and remedy.safetensors lie. */
  directory: string;
}

/** The inputs of a remedy, opened and found to belong together. */
export interface PreparedRemedy {
  /** sha256 of everything that decides it beside the options. */
  inputs: Manifest['inputs'];
  /** Makes it. What else belongs to it is written to `directory`; `kept` holds what a killed run should not lose. */
  make(directory: ArtifactDirectory, kept: KeptWork): Promise<MadeRemedy>;
  close(): Promise<void>;
}

type Prepare = (options: AlignSettings & WorkOptions) => Promise<PreparedRemedy>;

/** How each kind is made. */
const PREPARE: Record<RemedyKind, Prepare> = {
  sae: prepareSae,
  amplify: prepareLinear,
  caa: prepareLinear,
  pca: prepareLinear,
  conva: prepareLinear,
  prompt: preparePrompt,
};

/**
 * Makes a remedy (docs/paper.md sections 7 and 8) and, with `controls`, the arms that every claim about it is measured against. Fits on training
 * texts, chooses penalties on validation texts, evaluates on test texts. Writes manifest.json, remedy.json and remedy.safetensors to `out`;
 * the same call again returns what is there.
 * @throws MoralscopeError `misuse` for options that do not go together, or inputs that do not belong together; `bad-data` for states that are
 * no numbers, or too few texts; what the readers throw; `locked`, `disk`, `cancelled`
 */
export function align(options: z.input<typeof AlignOptions> & WorkOptions): Promise<AlignedRemedy> {
  return runOnOptions(new URL('./align-thread.js', import.meta.url), AlignOptions, options);
}

/** What unfinished work keeps in the directory. */
const WORK = '.work';

/** `align` in the thread that calls it, of options that are parsed. */
export async function alignHere(given: AlignOptions & WorkOptions): Promise<AlignedRemedy> {
  checkOptions(given);
  const options = { ...given, shuffles: given.shuffles ?? 20, directions: given.directions ?? 50 };
  // What is read is known by its content, wherever it lies.
  const { onProgress, signal, threads, out, seed, sae, activations, corpus, pairs, model, ...deciding } = options;
  const prepared = await PREPARE[options.kind](options);
  try {
    const directory = await ArtifactDirectory.open(out, {
      format: REMEDY_FORMAT,
      formatVersion: REMEDY_VERSION,
      seed,
      options: deciding,
      inputs: prepared.inputs,
    });
    const kept = new KeptWork(directory.file(WORK));
    try {
      if (!directory.finished) {
        const made = await prepared.make(directory, kept);
        await writeRemedy(directory, made, signal);
        const { content } = made;
        const { kind, sites, arms, summary } = content;
        await directory.finish({
          kind,
          model: content.model.name,
          sites: sites.map(({ site }) => site),
          arms: arms.length,
          summary,
        });
      }
      await kept.remove();
    } finally {
      await directory.close();
    }
    const { content, manifest, path } = await openRemedy(directory.path);
    return { content, manifest, directory: path };
  } finally {
    await prepared.close();
  }
}

/** Options that only some kinds take. */
type Own =
  | 'sae'
  | 'activations'
  | 'corpus'
  | 'pairs'
  | 'model'
  | 'layers'
  | 'weigh'
  | 'target'
  | 'prompt'
  | 'place'
  | 'template'
  | ControlOption
  | TrainingOption;
type ControlOption = 'shuffles' | 'directions';
const CONTROLS: readonly ControlOption[] = ['shuffles', 'directions'];
type TrainingOption = 'epochs' | 'patience' | 'batch' | 'learningRate' | 'level' | 'minEffect' | 'permutations';
const TRAINING: readonly TrainingOption[] = ['epochs', 'patience', 'batch', 'learningRate', 'level', 'minEffect', 'permutations'];
const LINEAR: readonly Own[] = ['activations', 'corpus', 'pairs', 'model', 'layers', 'weigh', 'template', ...CONTROLS];
const TAKES: Record<RemedyKind, { needs: readonly Own[]; takes: readonly Own[] }> = {
  sae: { needs: ['sae', 'activations', 'corpus'], takes: ['model', ...CONTROLS, ...TRAINING] },
  amplify: { needs: [], takes: LINEAR },
  caa: { needs: [], takes: LINEAR },
  pca: { needs: [], takes: LINEAR },
  conva: { needs: [], takes: [...LINEAR, 'target'] },
  prompt: { needs: ['model', 'prompt'], takes: ['place'] },
};
const OWN = [...new Set(Object.values(TAKES).flatMap(({ needs, takes }) => [...needs, ...takes]))];

function checkOptions(options: AlignOptions): void {
  const { kind } = options;
  const { needs, takes } = TAKES[kind];
  const misuse = (what: string) =>
    new MoralscopeError('misuse', `${what}.`, 'moralscope align --help says what each kind takes.');
  const flag = (name: Own) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const missing = needs.find((name) => options[name] === undefined);
  if (missing) throw misuse(`A remedy of kind ${kind} needs ${flag(missing)}`);
  const idle = OWN.find((name) => options[name] !== undefined && ![...needs, ...takes].includes(name));
  if (idle) throw misuse(`${flag(idle)} means nothing to a remedy of kind ${kind}`);
  if (options.profile === 'paper' && kind !== 'sae')
    throw misuse(`The paper has no remedy of kind ${kind}: --profile is for kind sae`);
  const ofControls = CONTROLS.find((name) => options[name] !== undefined);
  if (ofControls && !options.controls) throw misuse(`--${ofControls} is of the controls: it goes with --controls`);
  if (!takes.includes('pairs')) return;
  if ((options.corpus === undefined) === (options.pairs === undefined)) throw misuse('Give either --corpus or --pairs');
  if (options.activations === undefined && options.model === undefined)
    throw misuse('Give --activations, or --model to capture them');
  if (options.template !== undefined && options.activations !== undefined)
    throw misuse('--template is decided: the activations were captured with theirs');
}
