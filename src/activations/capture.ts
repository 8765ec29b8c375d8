import { dirname } from 'node:path';
import { ArtifactDirectory } from '../artifact/directory.js';
import { sha256 } from '../artifact/files.js';
import { MoralscopeError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import { type Precision, requirePrecision } from '../model/precision.js';
import { formatSite, type SitePoint } from '../model/site.js';
import type { Corpus } from '../moral/corpus.js';
import type { WorkOptions } from '../progress.js';
import { Random } from '../random.js';
import { tokenise } from './batches.js';
import { CaptureRun, type WrittenShard } from './capture-run.js';
import { CaptureThread } from './capture-thread.js';
import { ACTIVATIONS_FORMAT, ACTIVATIONS_VERSION, type ActivationDetails, type Stored } from './details.js';
import { ActivationDirectory } from './directory.js';
import { selectLayers } from './layers.js';
import { POOLINGS } from './pooling.js';
import type { MeasurePrecision } from './precision-error.js';
import { distinct, writeRows } from './rows.js';
import { planShards } from './shard-plan.js';
import { SinkCache } from './sink-cache.js';
import { checkTemplate, DEFAULT_TEMPLATE, fillTemplate } from './template.js';

export interface CaptureOptions extends WorkOptions {
  /** An open model, or a source that `LanguageModel.open` takes. */
  model: LanguageModel | string;
  /** What to run through it: a corpus's texts, or plain ones (repeated texts are run once). */
  corpus?: Corpus | undefined;
  texts?: readonly string[] | undefined;
  /** The activation directory. */
  out: string;
  /** `all` (default), a list with ranges such as `3,7-12`, or numbers. */
  layers?: string | readonly number[] | undefined;
  /** Default: last, content and mean. `tokens` keeps every token's state. */
  pools?: readonly Stored[] | undefined;
  /** Default: resid_post. */
  site?: SitePoint | undefined;
  /** Text around each action; `{action}` stands for it. Default: `{action} is morally`. */
  template?: string | undefined;
  /** Log-probabilities at the template's end. Default: for a corpus; without them no layer above the last one asked for is run. */
  readout?: boolean | undefined;
  /** Of the weights. Default: fp32. */
  precision?: Precision | undefined;
  /** Tells the manifest what a reduced precision costs. Default: it is not told. */
  measurePrecision?: MeasurePrecision | undefined;
  /** Draws the texts that choose the readout's frequent tokens. Default: 0. */
  seed?: number | undefined;
  /** Bytes of states in a shard, of which two are in memory at a time. Default: 64 MiB. */
  shardBytes?: number | undefined;
  /** Which texts lie in a shard together: those of like length (default: the least work), or any, so that each is a fair sample. */
  order?: 'length' | 'random' | undefined;
  /** Called for every shard once it is on disk, those of an earlier run first. */
  onShard?: ((shard: WrittenShard) => void) | undefined;
  /** Threads of the model; default: as many as the machine has cores. */
  threads?: number | undefined;
}

/** docs/paper.md section 2. */
const MAX_TOKENS = 128;
const SHARD_BYTES = 64 * 2 ** 20;

/**
 * Runs texts through a model and keeps what its residual stream holds after each block, pooled text by text, and the readout's
 * log-probabilities. Texts are run once each, by falling length; shards are written while the next texts run, and memory does
 * not grow with their number. The same call again takes up unfinished work, and returns at once when all is there.
 * @throws MoralscopeError `misuse` (template, layers, another artifact in `out`), `bad-data` (no texts, an empty one), `locked`,
 * `disk`, `cancelled`, and what `LanguageModel.open` throws
 */
export async function capture(options: CaptureOptions): Promise<ActivationDirectory> {
  checkTemplate(options.template ?? DEFAULT_TEMPLATE);
  const { model: source, onProgress, signal } = options;
  if (typeof source !== 'string') return captureFrom(source, options);
  const model = await LanguageModel.open(source, { onProgress, signal });
  try {
    return await captureFrom(model, options);
  } finally {
    await model.close();
  }
}

async function captureFrom(model: LanguageModel, options: CaptureOptions): Promise<ActivationDirectory> {
  const { corpus, template = DEFAULT_TEMPLATE, site = 'resid_post', seed = 0, shardBytes = SHARD_BYTES, order } = options;
  const input = corpus?.texts ?? options.texts ?? [];
  checkTexts(input);
  const settings: Settings = {
    template,
    site,
    layers: selectLayers(options.layers ?? 'all', model.spec.layers),
    poolings: [...new Set(options.pools ?? POOLINGS)],
    readout: options.readout ?? corpus !== undefined,
    maxTokens: Math.min(MAX_TOKENS, model.spec.context),
    shardBytes,
    precision: requirePrecision(options.precision ?? 'fp32'),
    ...(order === 'random' && { order }),
  };
  const directory = await ArtifactDirectory.open(options.out, {
    format: ACTIVATIONS_FORMAT,
    formatVersion: ACTIVATIONS_VERSION,
    seed,
    options: { ...settings },
    inputs: [
      { name: 'model', sha256: model.sha256 },
      { name: corpus ? 'corpus' : 'texts', sha256: corpus?.sha256 ?? sha256(JSON.stringify(input)) },
    ],
  });
  try {
    if (!directory.finished) await directory.finish(await fill(directory, model, settings, input, options));
  } finally {
    await directory.close();
  }
  return ActivationDirectory.open(directory.path);
}

/** What decides the content of the directory, beside model, texts and seed. */
interface Settings {
  template: string;
  site: SitePoint;
  layers: number[];
  poolings: Stored[];
  readout: boolean;
  maxTokens: number;
  shardBytes: number;
  precision: Precision;
  order?: 'random';
}

async function fill(
  directory: ArtifactDirectory,
  model: LanguageModel,
  settings: Settings,
  input: readonly string[],
  { corpus, threads, measurePrecision, onShard, onProgress, signal }: CaptureOptions,
): Promise<ActivationDetails> {
  const { template, site, layers, poolings, readout, maxTokens, shardBytes, precision } = settings;
  const { name, family, parameters, sha256, tokenizer } = model;
  const { hidden, vocabulary } = model.spec;
  const work = { onProgress, signal };
  const rows = distinct(input);
  if (corpus && rows.texts.length < input.length)
    throw new MoralscopeError('bad-data', `The corpus ${corpus.name} holds a text twice.`, 'Build it again.');
  await writeRows(directory.path, rows);
  const texts = rows.texts.map((text) => fillTemplate(template, text));
  const tokens = await tokenise(texts, tokenizer, maxTokens, signal);
  const sites = layers.map((layer) => ({ layer, point: site }));
  const layout = {
    sites: sites.map(formatSite),
    poolings: poolings.filter((pooling) => pooling !== 'tokens'),
    tokens: poolings.includes('tokens'),
    hidden,
  };
  const plan = planShards(
    tokens,
    layout,
    shardBytes,
    readout ? new Random(directory.identity.seed, 'readout sample') : undefined,
    settings.order && new Random(directory.identity.seed, 'order of texts'),
  );
  const lost = precision === 'fp32' ? undefined : await measurePrecision?.(model, precision, { threads, ...work });
  const compiled = await model.compile({ sites: layout.sites, logits: readout ? 'last' : undefined, precision, ...work });
  const sinkCache = new SinkCache(dirname(compiled.graph), tokenizer.sha256);
  const thread = CaptureThread.start(compiled, threads);
  try {
    const run = new CaptureRun(thread, directory, plan, { sites, tokenizer, template, sinkCache, onShard, ...work });
    const filled = await run.fill();
    return {
      model: {
        name,
        family,
        layers: model.spec.layers,
        hidden,
        vocabulary,
        parameters,
        sha256,
        tokenizer: tokenizer.sha256,
        precision,
      },
      corpus: corpus ? { name: corpus.name, authored: corpus.authored, sha256: corpus.sha256 } : null,
      template,
      site,
      layers,
      poolings,
      rows: texts.length,
      tokens: tokens.ids.length,
      truncated: tokens.truncated,
      maxTokens,
      precisionError: lost ?? null,
      ...filled,
    };
  } finally {
    await thread.close();
  }
}

function checkTexts(texts: readonly string[]): void {
  if (texts.length === 0)
    throw new MoralscopeError('bad-data', 'There are no texts to capture.', 'Give a corpus or texts that hold some.');
  const empty = texts.findIndex((text) => text.trim() === '');
  if (empty >= 0) throw new MoralscopeError('bad-data', `Text ${empty} (counted from 0) is empty.`, 'Remove it.');
}
