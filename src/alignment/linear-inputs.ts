/** @file What a linear remedy is fitted on: activations that are there, or are captured for it, of a corpus or of pairs. */
import { basename, join } from 'node:path';
import { capture } from '../activations/capture.js';
import { ActivationDirectory } from '../activations/directory.js';
import { selectLayers } from '../activations/layers.js';
import type { ArtifactDirectory } from '../artifact/directory.js';
import { sha256File } from '../artifact/files.js';
import type { Manifest } from '../artifact/manifest.js';
import { requireSameCorpus } from '../diagnosis/diagnose.js';
import { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import type { Corpus } from '../moral/corpus.js';
import { readCorpus } from '../moral/read.js';
import type { WorkOptions } from '../progress.js';
import { requireItsModel } from '../sae/eval/requirements.js';
import type { AlignOptions } from './align-options.js';
import { type Contrast, contrastOfCorpus, contrastOfPairs } from './contrast.js';
import { type ContrastPair, pairsHash, readPairs } from './contrast-pairs.js';
import type { RemedyContent } from './remedy-schema.js';

type Options = AlignOptions & WorkOptions;

/** Texts, and where their states come from. */
export class LinearInputs {
  private constructor(
    private readonly options: Options,
    readonly corpus: Corpus | undefined,
    private readonly pairs: readonly ContrastPair[],
    private readonly model: LanguageModel | undefined,
    private readonly given: ActivationDirectory | undefined,
    /** sha256 of all of them. */
    readonly hashes: Manifest['inputs'],
    /** What a reader should know of them. */
    readonly notes: readonly string[],
  ) {}

  /**
   * Opens them and finds that they belong together.
   * @throws MoralscopeError `misuse` where they do not, and what the readers throw
   */
  static async open(options: Options): Promise<LinearInputs> {
    const { threads, onProgress, signal } = options;
    const corpus = options.corpus === undefined ? undefined : await readCorpus(options.corpus);
    const { pairs, repeated } = options.pairs === undefined ? { pairs: [], repeated: 0 } : await readPairs(options.pairs);
    const notes = repeated > 0 ? [`${repeated} pairs with a text of an earlier pair were left out.`] : [];
    const given = options.activations === undefined ? undefined : await ActivationDirectory.open(options.activations);
    if (given && corpus) requireSameCorpus(given, corpus);
    if (given && !given.poolings.includes('last'))
      throw new MoralscopeError(
        'misuse',
        `${given.path} holds no 'last' states, only ${given.poolings.join(', ')}.`,
        'Capture with --pool last.',
      );
    const hashes = [
      corpus ? { name: 'corpus', sha256: corpus.sha256 } : { name: 'pairs', sha256: pairsHash(pairs) },
      ...(given ? [{ name: 'activations', sha256: await sha256File(join(given.path, 'manifest.json'), signal) }] : []),
    ];
    const model =
      options.model === undefined ? undefined : await LanguageModel.open(options.model, { threads, onProgress, signal });
    if (model) hashes.push({ name: 'model', sha256: model.sha256 });
    const inputs = new LinearInputs(options, corpus, pairs, model, given, hashes, notes);
    try {
      if (model && given) requireItsModel(model, given);
      inputs.selected(given?.layers ?? [], given?.details.model.layers ?? model!.spec.layers);
    } catch (error) {
      await inputs.close();
      throw error;
    }
    return inputs;
  }

  /** The states; where none were given they are captured into the remedy's own directory, and stay there. */
  async activations(directory: ArtifactDirectory): Promise<ActivationDirectory> {
    const { given, model, corpus, pairs, options } = this;
    if (given) return given;
    const { template, seed, threads, onProgress, signal } = options;
    return capture({
      model: model!,
      ...(corpus ? { corpus } : { texts: pairs.flatMap(({ virtue, vice }) => [virtue, vice]) }),
      out: directory.file('activations'),
      layers: this.selected([], model!.spec.layers),
      pools: ['last'],
      readout: false,
      template,
      seed,
      threads,
      onProgress,
      signal,
    });
  }

  /** The layers to change, ascending. */
  layers(activations: ActivationDirectory): number[] {
    return this.selected(activations.layers, activations.details.model.layers);
  }

  /** What remedy.json says of the texts. */
  get source(): NonNullable<RemedyContent['corpus']> {
    const { corpus, pairs, options } = this;
    if (corpus) return { name: corpus.name, authored: corpus.authored, sha256: corpus.sha256, pairs: false };
    return { name: basename(options.pairs!), authored: false, sha256: pairsHash(pairs), pairs: true };
  }

  /** sha256 of the tokenizer, as far as it is known. */
  tokenizer(activations: ActivationDirectory): string | null {
    return this.model?.tokenizer.sha256 ?? activations.details.model.tokenizer;
  }

  /** The texts of either side, with the rows of their states. */
  async contrast(activations: ActivationDirectory): Promise<Contrast> {
    const { corpus, pairs, options } = this;
    if (corpus) return contrastOfCorpus(corpus, options.seed);
    const rows = new Map((await activations.texts()).map((text, row) => [text.trim(), row]));
    const rowOf = (text: string) => {
      const row = rows.get(text);
      if (row !== undefined) return row;
      throw new MoralscopeError(
        'misuse',
        `${activations.path} does not hold ${JSON.stringify(text)}, which ${options.pairs} does.`,
        'Capture both texts of every pair, or give --model in place of --activations.',
      );
    };
    return contrastOfPairs(pairs, rowOf, options.seed);
  }

  async close(): Promise<void> {
    await this.model?.close();
  }

  /** @param held layers of the activations; none where they are still to be captured */
  private selected(held: readonly number[], layers: number): number[] {
    const { layers: asked, activations } = this.options;
    if (asked === undefined) {
      if (held.length === 1) return [...held];
      throw new MoralscopeError(
        'misuse',
        held.length > 0 ? `${activations} holds ${held.length} layers.` : 'No layer was named.',
        'Say which to change, e.g. --layers 11; several are changed together.',
      );
    }
    const selected = selectLayers(asked, layers);
    const missing = held.length > 0 && selected.find((layer) => !held.includes(layer));
    if (typeof missing === 'number')
      throw new MoralscopeError(
        'misuse',
        `${activations} holds no layer ${missing}, only ${held.join(', ')}.`,
        'Choose layers it holds, or capture with --layers.',
      );
    return selected;
  }
}
