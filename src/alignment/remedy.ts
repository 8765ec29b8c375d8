import { join, resolve } from 'node:path';
import { type ArtifactDirectory, readManifest } from '../artifact/directory.js';
import { writeFileAtomic } from '../artifact/files.js';
import type { Manifest } from '../artifact/manifest.js';
import { readResult } from '../artifact/result.js';
import { type SafetensorsTensor, writeSafetensors } from '../checkpoint/safetensors.js';
import { MoralscopeError } from '../errors.js';
import type { Intervention, Mode, Positions } from '../model/intervention.js';
import type { LanguageModel } from '../model/language-model.js';
import type { SparseAutoencoder } from '../sae/architecture.js';
import { readSaeLens } from '../sae/formats/saelens.js';
import { readFittedTexts, writeFittedTexts } from './fitted-texts.js';
import { readChange } from './remedy-changes.js';
import { type Arm, type PROMPT_PLACES, REMEDY_ARM, RemedyContent, type RemedySite } from './remedy-schema.js';
import { damaged, RemedyTensors } from './remedy-tensors.js';

export const REMEDY_FORMAT = 'moralscope.remedy';
export const REMEDY_VERSION = 1;
const CONTENT = 'remedy.json';
const TENSORS = 'remedy.safetensors';

/** Which change is wanted. */
export interface InterventionChoice {
  /** The remedy itself, or one of its controls. */
  arm?: string | undefined;
  /** Default: the arm's usual one. */
  mode?: Mode | undefined;
  /** Tokens that are changed; default: all. */
  positions?: Positions | undefined;
  /** Some of its layers; default: all of them. */
  layers?: readonly number[] | undefined;
}

/** What was changed in a model, as data, with its controls. */
export class Remedy {
  private constructor(
    readonly path: string,
    readonly manifest: Manifest,
    /** remedy.json */
    readonly content: RemedyContent,
    private readonly tensors: RemedyTensors | undefined,
    private readonly saes: ReadonlyMap<string, SparseAutoencoder>,
    /** Keys of the texts that it was fitted on (`textKey`). */
    readonly fittedTexts: ReadonlySet<string>,
  ) {}

  /** See `openRemedy`. */
  static async open(dir: string): Promise<Remedy> {
    const path = resolve(dir);
    const manifest = await readManifest(path, REMEDY_FORMAT);
    if (manifest.formatVersion !== REMEDY_VERSION)
      throw damaged(path, `version ${manifest.formatVersion} of the format, where this version reads ${REMEDY_VERSION}`);
    const content = await readResult(join(path, CONTENT), RemedyContent);
    const tensors = content.sites.length > 0 ? await RemedyTensors.read(join(path, TENSORS)) : undefined;
    const saes = new Map<string, SparseAutoencoder>();
    for (const { site, sae: named } of content.sites) {
      if (!named) continue;
      const { sae } = await readSaeLens(join(path, named.folder));
      if (sae.spec.dIn !== content.model.hidden)
        throw damaged(path, `${named.folder} takes states of ${sae.spec.dIn} channels, the model has ${content.model.hidden}`);
      saes.set(site, sae);
    }
    const remedy = new Remedy(path, manifest, content, tensors, saes, await readFittedTexts(path));
    // What is missing is told now, and not when the first text is to be changed.
    for (const arm of content.arms)
      for (const mode of arm.modes)
        if (mode !== 'blend' || arm.name === REMEDY_ARM) remedy.changes(arm, mode, 'all', content.sites);
    return remedy;
  }

  get kind(): RemedyContent['kind'] {
    return this.content.kind;
  }

  get sites(): readonly RemedySite[] {
    return this.content.sites;
  }

  /** The remedy and its controls. */
  get arms(): readonly Arm[] {
    return this.content.arms;
  }

  /**
   * @throws MoralscopeError `misuse` for one that it does not have
   */
  arm(name: string): Arm {
    const found = this.arms.find((arm) => arm.name === name);
    if (found) return found;
    if (this.arms.length === 1)
      throw new MoralscopeError(
        'misuse',
        `${this.path} has no arm ${name}: it was made without --controls.`,
        'Make it again with --controls.',
      );
    throw new MoralscopeError('misuse', `${this.path} has no arm ${name}, only ${namesOf(this.arms)}.`, 'Name one of these.');
  }

  /**
   * The change of an arm at each of its sites, from the first to the last; none for a prompt.
   * @throws MoralscopeError `misuse` for an arm, a mode or a layer that it does not have
   */
  interventions({ arm: name = REMEDY_ARM, mode: wanted, positions = 'all', layers }: InterventionChoice = {}): Intervention[] {
    const arm = this.arm(name);
    const missing = layers?.find((layer) => !this.sites.some((site) => site.layer === layer));
    if (missing !== undefined)
      throw new MoralscopeError(
        'misuse',
        `${this.path} changes nothing at layer ${missing}, only at ${this.sites.map(({ layer }) => layer).join(', ') || 'none'}.`,
        'Choose among these.',
      );
    const sites = this.sites.filter(({ layer }) => layers?.includes(layer) ?? true);
    const mode = wanted ?? arm.modes[0];
    if (mode === undefined) return [];
    if (!arm.modes.includes(mode))
      throw new MoralscopeError(
        'misuse',
        `The arm ${name} of ${this.path} (${this.kind}) has no mode ${mode}, ${arm.modes.length > 0 ? `only ${arm.modes.join(', ')}` : 'since it is a text'}.`,
        arm.modes.length > 0 ? 'Choose one that it has.' : 'Leave the mode out.',
      );
    return this.changes(arm, mode, positions, sites);
  }

  /**
   * The text of an arm, where the remedy is a prompt.
   * @throws MoralscopeError `misuse` for an arm that it does not have
   */
  prompt(name: string = REMEDY_ARM): { place: (typeof PROMPT_PLACES)[number]; text: string } | undefined {
    const { text } = this.arm(name);
    const { prompt } = this.content;
    return prompt && text !== undefined ? { place: prompt.place, text } : undefined;
  }

  private changes(arm: Arm, mode: Mode, positions: Positions, sites: readonly RemedySite[]): Intervention[] {
    const { path, tensors, content } = this;
    const { hidden } = content.model;
    return sites.map((site) => ({
      site: site.site,
      change: readChange({ path, tensors: tensors!, hidden, site, arm, sae: this.saes.get(site.site) }, mode),
      positions,
      sinkThreshold: site.sinkThreshold,
    }));
  }
}

/**
 * Opens a remedy that `align` made, its tensors with it.
 * @throws MoralscopeError `not-found` where there is none; `bad-file` naming the tensor or field that is missing, has another shape, or
 * holds what is no number
 */
export function openRemedy(path: string): Promise<Remedy> {
  return Remedy.open(path);
}

/** What a remedy is made of. */
export interface MadeRemedy {
  content: RemedyContent;
  /** By `tensorName`. */
  tensors: Readonly<Record<string, SafetensorsTensor>>;
  /** The texts that it was fitted on. */
  fittedTexts: readonly string[];
}

/** Writes remedy.json, remedy.safetensors and the keys of the texts fitted on; the caller finishes the directory. */
export async function writeRemedy(
  directory: ArtifactDirectory,
  { content, tensors, fittedTexts }: MadeRemedy,
  signal?: AbortSignal,
): Promise<void> {
  const checked = RemedyContent.parse(content);
  await writeFittedTexts(directory, fittedTexts);
  if (checked.sites.length > 0) await writeSafetensors(directory.file(TENSORS), tensors, { kind: content.kind }, signal);
  await writeFileAtomic(directory.file(CONTENT), `${JSON.stringify(checked, null, 1)}\n`);
}

/** What of a model decides whether a remedy fits it. */
export type RemediedModel = Pick<LanguageModel, 'name' | 'sha256'> & {
  spec: Pick<LanguageModel['spec'], 'hidden' | 'layers'>;
  tokenizer: Pick<LanguageModel['tokenizer'], 'sha256'>;
};

/** Throws `misuse` that names the width, layer, tokenizer or checkpoint in which the model is not that of the remedy. */
export function requireItsModel({ path, content, sites }: Remedy, model: RemediedModel): void {
  const { name, sha256, tokenizer, hidden, layers } = content.model;
  const differs = (its: string, theirs: string) =>
    new MoralscopeError(
      'misuse',
      `${path} was made for ${its}; ${model.name} ${theirs}.`,
      `Give ${name}, or make a remedy for ${model.name}.`,
    );
  const short = (digest: string) => digest.slice(0, 12);
  if (model.spec.hidden !== hidden) throw differs(`states of ${hidden} channels (${name})`, `has ${model.spec.hidden}`);
  const beyond = sites.find(({ layer }) => layer >= model.spec.layers);
  if (beyond) throw differs(`${beyond.site} (${name})`, `has ${model.spec.layers} layers, 0 to ${model.spec.layers - 1}`);
  if (model.spec.layers !== layers) throw differs(`a model of ${layers} layers (${name})`, `has ${model.spec.layers}`);
  if (model.sha256 !== sha256) throw differs(`${name} (${short(sha256)})`, `is another checkpoint (${short(model.sha256)})`);
  if (tokenizer !== null && model.tokenizer.sha256 !== tokenizer)
    throw differs(`the tokenizer ${short(tokenizer)} (${name})`, `comes with the tokenizer ${short(model.tokenizer.sha256)}`);
}

/** Names of arms in a message: those with numbers once. */
function namesOf(arms: readonly Arm[]): string {
  const counts = new Map<string, number>();
  for (const { name } of arms) {
    const series = name.replace(/-\d+[+-]?$/, '');
    counts.set(series, (counts.get(series) ?? 0) + 1);
  }
  return [...counts].map(([series, count]) => (count > 1 ? `${series}-00 and on (${count})` : series)).join(', ');
}
