import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { capture } from '../activations/capture.js';
import { ActivationDirectory } from '../activations/directory.js';
import { selectLayers } from '../activations/layers.js';
import { DEFAULT_TEMPLATE } from '../activations/template.js';
import { readTexts } from '../activations/text-file.js';
import type { ArtifactIdentity } from '../artifact/directory.js';
import { sha256, sha256File } from '../artifact/files.js';
import { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import type { SitePoint } from '../model/site.js';
import { readCorpus } from '../moral/read.js';
import type { WorkOptions } from '../progress.js';
import { Deck, type DeckPosition } from './deck.js';
import { FollowedCapture } from './followed-capture.js';
import { MixedDeck } from './mixed-deck.js';
import { type StateShards, storedStates } from './states.js';
import type { TrainSaeOptions } from './train-options.js';

/** Bytes of states that are shuffled together; twice as many are in memory. */
const WINDOW_BYTES = 256 * 2 ** 20;

/** Where the states come from. */
interface Source {
  name: string;
  share: number;
  /** Whether it is being captured, so that its first epoch takes the shards as they come. */
  following: boolean;
  /** States of an epoch, or a few more: sinks may be among them. */
  states(): Promise<number>;
  shards(layer: number): Promise<StateShards>;
  /** The directory that is made for it. */
  captured?: string;
  /** Fulfilled when nothing is being captured any more. */
  ended: Promise<unknown>;
}

/** The states that a run trains on. */
export class TrainingData {
  private constructor(
    readonly model: { name: string; sha256: string; hidden: number },
    readonly site: SitePoint,
    readonly layers: readonly number[],
    /** What the states are made of, for the manifest. */
    readonly inputs: ArtifactIdentity['inputs'],
    private readonly open: (out: string, work: WorkOptions) => Promise<Source[]>,
    private sources: Source[] = [],
  ) {}

  /**
   * Finds out what there is to train on; nothing is captured yet.
   * @throws MoralscopeError `misuse` where the options name no states or contradictory ones, and what the readers throw
   */
  static async find(options: TrainSaeOptions, work: WorkOptions): Promise<TrainingData> {
    const { activations, model, text, corpus, tokens, epochs } = options;
    const misuse = (what: string, fix: string) => new MoralscopeError('misuse', what, fix);
    if (tokens !== undefined && epochs !== undefined)
      throw misuse('--tokens and --epochs both say how long to train.', 'Give one of them.');
    if ((activations === undefined) === (model === undefined))
      throw misuse('Give either --activations or --model.', '--help lists the flags.');
    if (activations !== undefined) {
      if (text ?? corpus) throw misuse('--text and --corpus go with --model.', 'The activations hold their texts already.');
      return TrainingData.stored(activations, options);
    }
    if (!text && corpus === undefined) throw misuse('There is no text to run the model on.', 'Give --text, --corpus or both.');
    if (options.states !== 'tokens')
      throw misuse('Pooled states are not captured while training.', 'Capture them first, and give --activations.');
    return TrainingData.captured(options, work);
  }

  private static async stored(path: string, options: TrainSaeOptions): Promise<TrainingData> {
    const directory = await ActivationDirectory.open(path);
    const { details } = directory;
    const layers = options.layers === 'all' ? [...directory.layers] : selectLayers(options.layers, details.model.layers);
    const unknown = layers.find((layer) => !directory.layers.includes(layer));
    if (unknown !== undefined || !directory.poolings.includes(options.states))
      throw new MoralscopeError(
        'misuse',
        `${path} holds no ${unknown === undefined ? `'${options.states}' states` : `layer ${unknown}`}; it holds layers ${directory.layers.join(', ')} as ${directory.poolings.join(', ')}.`,
        'Capture them, or choose what it holds.',
      );
    const source: Source = {
      name: 'activations',
      share: 1,
      following: false,
      states: async () => (options.states === 'tokens' ? details.tokens - details.rows : details.rows),
      shards: async (layer) => storedStates(directory, layer, options.states),
      ended: Promise.resolve(),
    };
    const inputs = [{ name: 'activations', sha256: await sha256File(join(directory.path, 'manifest.json')) }];
    return new TrainingData(details.model, details.site, layers, inputs, async () => [source]);
  }

  private static async captured(options: TrainSaeOptions, work: WorkOptions): Promise<TrainingData> {
    const texts = (await Promise.all((options.text ?? []).map((file) => readTexts(file, work)))).flat();
    const corpus = options.corpus === undefined ? undefined : await readCorpus(options.corpus);
    const model = await LanguageModel.open(options.model!, work);
    const { name, sha256: digest, spec } = model;
    await model.close();
    const layers = selectLayers(options.layers, spec.layers);
    const parts = [
      ...(texts.length > 0 ? [{ name: 'text', texts, template: '{action}' }] : []),
      ...(corpus ? [{ name: 'corpus', texts: corpus.texts, template: DEFAULT_TEMPLATE }] : []),
    ];
    const share = (part: string) => (parts.length === 1 ? 1 : part === 'corpus' ? options.corpusShare : 1 - options.corpusShare);
    const inputs = [
      { name: 'model', sha256: digest },
      ...parts.map((part) => ({ name: part.name, sha256: sha256(JSON.stringify(part.texts)) })),
    ];
    const open = async (out: string, { onProgress, signal }: WorkOptions): Promise<Source[]> => {
      const sources: Source[] = [];
      // The corpus is small and is captured first; the rest of the text runs while the autoencoders learn.
      let before: Promise<unknown> = Promise.resolve();
      for (const part of parts.toReversed()) {
        const waited = before;
        const captured = join(out, 'activations', part.name);
        const followed = new FollowedCapture(spec.hidden, 'resid_post', async (onShard) => {
          await waited;
          return capture({
            model: options.model!,
            texts: part.texts,
            template: part.template,
            out: captured,
            layers,
            pools: ['tokens'],
            readout: false,
            order: 'random',
            seed: options.seed,
            threads: options.threads,
            onShard,
            signal,
            // The run itself reports once it has begun to learn.
            ...(part === parts.at(-1) && parts.length > 1 && { onProgress }),
          });
        });
        before = followed.finished;
        sources.unshift({
          name: part.name,
          share: share(part.name),
          following: true,
          states: () => followed.states(),
          shards: (layer) => followed.shards(layer),
          captured,
          ended: followed.finished,
        });
      }
      return sources;
    };
    return new TrainingData({ name, sha256: digest, hidden: spec.hidden }, 'resid_post', layers, inputs, open);
  }

  /** Begins to capture what must be captured, under `out`. */
  async begin(out: string, work: WorkOptions): Promise<void> {
    this.sources = await this.open(out, work);
  }

  /** States of one epoch, or a few more: those of the first source, whose share is the rest of every batch. */
  async statesOfEpoch(): Promise<number> {
    const [{ states, share }] = this.sources;
    return Math.round((await states()) / share);
  }

  /** The states of a layer in random order, from the start or from where another deck stood. */
  async deck(layer: number, seed: number, positions: readonly DeckPosition[] = []): Promise<MixedDeck> {
    const decks: { deck: Deck; share: number }[] = [];
    for (const [i, { name, share, following, shards }] of this.sources.entries()) {
      const of = await shards(layer);
      const first = await of.load(0);
      const windowShards = Math.max(1, Math.floor(WINDOW_BYTES / Math.max(1, first.byteLength)));
      decks.push({ deck: new Deck(of, { seed, name, windowShards, following }, positions[i]), share });
    }
    return new MixedDeck(this.model.hidden, decks);
  }

  /** Waits for a capture to come to its end. */
  async ended(): Promise<void> {
    for (const { ended } of this.sources) await ended;
  }

  /** Removes what was captured for it. */
  async discard(): Promise<void> {
    for (const { captured } of this.sources) {
      if (captured === undefined) continue;
      await rm(captured, { recursive: true, force: true });
      // Of the folder around it only what is empty.
      await rmdir(dirname(captured)).catch(() => {});
    }
  }
}
