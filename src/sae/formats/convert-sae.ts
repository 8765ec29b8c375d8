import { basename } from 'node:path';
import { z } from 'zod';
import { ArtifactDirectory, type ArtifactIdentity } from '../../artifact/directory.js';
import { sha256File } from '../../artifact/files.js';
import { type Manifest, TOOL } from '../../artifact/manifest.js';
import { formatSite } from '../../model/site.js';
import { parseOptions } from '../../options.js';
import type { WorkOptions } from '../../progress.js';
import { openSae } from './open-sae.js';
import { writeSaeLens } from './saelens.js';
import { writeSparsify } from './sparsify.js';

export const SAE_ARTIFACT = 'moralscope.sae';

export const ConvertSaeOptions = z.object({
  to: z.enum(['saelens', 'sparsify']).default('saelens').describe('format to write'),
  out: z.string().describe('directory to make'),
  k: z.int().positive().optional().describe('active latents of a token, where neither file nor path says it (Qwen-Scope)'),
  site: z.string().optional().describe('whose states it takes, e.g. blocks.10.hook_resid_post; default: what file or path say'),
  activationScale: z
    .number()
    .positive()
    .optional()
    .describe('factor of a SAELens autoencoder with expected_average_only_in; default: its activation_scaler.json'),
});
export type ConvertSaeOptions = z.infer<typeof ConvertSaeOptions>;

/**
 * Writes a sparse autoencoder of any format that is read as a directory of another, with a manifest that names what it was made of.
 * @returns the manifest; its details say architecture, sizes, site and model
 * @throws MoralscopeError as {@link openSae} and the writers do; `misuse` or `locked` where `out` is something else or in use
 */
export async function convertSae(
  from: string,
  { signal, ...given }: z.input<typeof ConvertSaeOptions> & WorkOptions,
): Promise<Manifest> {
  const { to, out, k, site, activationScale } = parseOptions(ConvertSaeOptions, given);
  const opened = await openSae(from, { k, site, activationScale, signal });
  const inputs: ArtifactIdentity['inputs'] = [];
  for (const file of opened.files) inputs.push({ name: basename(file), sha256: await sha256File(file, signal) });
  const directory = await ArtifactDirectory.open(out, {
    format: SAE_ARTIFACT,
    formatVersion: 1,
    seed: 0,
    options: { to, k, site, activationScale },
    inputs,
  });
  try {
    if (directory.finished) return directory.finished;
    const provenance = { version: TOOL.version, converted: { from: opened.format, inputs } };
    if (to === 'saelens') await writeSaeLens(directory.path, opened, provenance, signal);
    else await writeSparsify(directory.path, opened, signal);
    const { spec } = opened.sae;
    return await directory.finish({
      from: opened.format,
      to,
      architecture: spec.architecture,
      dIn: spec.dIn,
      width: spec.width,
      k: spec.k,
      site: formatSite(opened.origin.site),
      modelName: opened.origin.modelName,
    });
  } finally {
    await directory.close();
  }
}
