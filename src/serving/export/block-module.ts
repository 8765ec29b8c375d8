import { MoralscopeError } from '../../errors.js';
import { parseSite } from '../../model/site.js';
import type { ExportRequest } from './export-model.js';

/**
 * The block after which a site's stream is changed; the stream that enters a block is the one that leaves the block before it.
 * @param program that is to change it, for messages
 * @throws MoralscopeError `misuse` for a site that no block's output is
 */
export function blockBefore(site: string, layers: number, program: string): number {
  const { layer, point } = parseSite(site, layers);
  const block = point === 'resid_pre' ? layer - 1 : layer;
  if ((point === 'resid_post' || point === 'resid_pre') && block >= 0) return block;
  throw new MoralscopeError(
    'misuse',
    `${program} changes the stream that leaves a block, and ${site} is none.`,
    'Choose --format onnx.',
  );
}

/** What transformers calls a block, below the `base_model` of a model. */
export function blockModule(block: number, { mapping, checkpoint }: Pick<ExportRequest, 'mapping' | 'checkpoint'>): string {
  const blocks = mapping.family === 'gpt2' ? 'h' : 'layers';
  // A model that reads images too has its language model beside what reads them.
  return `${checkpoint.metadata.text_config === undefined ? '' : 'language_model.'}${blocks}.${block}`;
}
