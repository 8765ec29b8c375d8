/** @file What Neuronpedia takes of a sparse autoencoder's features: POST /api/feature/upload-batch, at most 128 a request. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { diskError, isTemporary, writeFileAtomic } from '../../artifact/files.js';
import { MoralscopeError, throwIfCancelled } from '../../errors.js';

export const NEURONPEDIA_BATCH = 128;
const MAX_LOGITS = 20;
const MAX_TOKENS = 1024;

const number = z.number();
const token = z.string().min(1);
const logits = z
  .array(z.object({ token, value: number }))
  .max(MAX_LOGITS)
  .optional();

/** One feature, with the bounds that Neuronpedia sets. */
export const NeuronpediaFeature = z.strictObject({
  index: z.int().min(0).max(10_000_000).describe('the latent'),
  density: number.min(0).max(1).optional().describe('share of tokens in which it is active'),
  topLogits: logits.describe('tokens that it makes likelier'),
  bottomLogits: logits.describe('tokens that it makes less likely'),
  explanations: z
    .array(
      z.strictObject({ text: z.string().min(1).max(512), methodName: z.string().optional(), modelName: z.string().optional() }),
    )
    .optional(),
  activations: z
    .array(
      z
        .strictObject({ tokens: z.array(token).min(1).max(MAX_TOKENS), values: z.array(number).min(1).max(MAX_TOKENS) })
        .refine(({ tokens, values }) => tokens.length === values.length, { error: 'tokens and values are not of one length' }),
    )
    .min(1),
});
export type NeuronpediaFeature = z.infer<typeof NeuronpediaFeature>;

/** The body of one request. */
export const NeuronpediaBatch = z.strictObject({
  modelId: z.string().min(1).toLowerCase(),
  source: z
    .string()
    .regex(/^\d+-[^-].*$/, { error: 'is not {layer}-{set}' })
    .toLowerCase(),
  features: z.array(NeuronpediaFeature).min(1).max(NEURONPEDIA_BATCH),
});
export type NeuronpediaBatch = z.infer<typeof NeuronpediaBatch>;

/** Whose features they are, by Neuronpedia's names. */
export interface NeuronpediaSource {
  modelId: string;
  layer: number;
  /** Name of the set of autoencoders, e.g. `res-moral`. */
  set: string;
}

/**
 * Requests of up to 128 features each, in the order in which the features come.
 * @throws MoralscopeError `bad-data` naming the feature and field that Neuronpedia would refuse, or a feature that comes twice
 */
export async function* neuronpediaBatches(
  { modelId, layer, set }: NeuronpediaSource,
  features: Iterable<NeuronpediaFeature> | AsyncIterable<NeuronpediaFeature>,
): AsyncGenerator<NeuronpediaBatch> {
  const seen = new Set<number>();
  const head = NeuronpediaBatch.omit({ features: true }).safeParse({ modelId, source: `${layer}-${set}` });
  if (!head.success) throw refused('The source', head.error);
  let batch: NeuronpediaFeature[] = [];
  for await (const feature of features) {
    const parsed = NeuronpediaFeature.safeParse(feature);
    if (!parsed.success) throw refused(`Feature ${feature.index}`, parsed.error);
    if (seen.has(feature.index)) throw new MoralscopeError('bad-data', `Feature ${feature.index} comes twice.`);
    seen.add(feature.index);
    batch.push(parsed.data);
    if (batch.length === NEURONPEDIA_BATCH) {
      yield { ...head.data, features: batch };
      batch = [];
    }
  }
  if (batch.length > 0) yield { ...head.data, features: batch };
}

/**
 * Writes one file a request, `features-0.json` and on, each whole or absent.
 * @returns their paths
 * @throws MoralscopeError as {@link neuronpediaBatches} does; `misuse` for a directory that holds other files; `disk`, `cancelled`
 */
export async function writeNeuronpedia(
  directory: string,
  source: NeuronpediaSource,
  features: Iterable<NeuronpediaFeature> | AsyncIterable<NeuronpediaFeature>,
  signal?: AbortSignal,
): Promise<string[]> {
  await mkdir(directory, { recursive: true }).catch((error) => {
    throw diskError(error, directory);
  });
  const strange = (await readdir(directory)).find((name) => !/^features-\d+\.json$/.test(name) && !isTemporary(name));
  if (strange !== undefined)
    throw new MoralscopeError(
      'misuse',
      `${directory} holds ${strange}, which is no part of an upload to Neuronpedia.`,
      'Choose another directory: one that does not exist yet, or is empty.',
    );
  const paths: string[] = [];
  for await (const batch of neuronpediaBatches(source, features)) {
    throwIfCancelled(signal);
    const path = join(directory, `features-${paths.length}.json`);
    await writeFileAtomic(path, `${JSON.stringify(batch)}\n`);
    paths.push(path);
  }
  return paths;
}

function refused(what: string, error: z.ZodError): MoralscopeError {
  const [issue] = error.issues;
  return new MoralscopeError('bad-data', `${what}: ${issue.path.join('.')} ${issue.message}: Neuronpedia would refuse it.`);
}
