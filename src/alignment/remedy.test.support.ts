import { ArtifactDirectory } from '../artifact/directory.js';
import type { SafetensorsTensor } from '../checkpoint/safetensors.js';
import { type Change, type Intervention, interventionTensors } from '../model/intervention.js';
import { parseSite } from '../model/site.js';
import { REMEDY_FORMAT, REMEDY_VERSION, type RemediedModel, writeRemedy } from './remedy.js';
import type { RemedyContent } from './remedy-schema.js';
import { tensorName } from './remedy-tensors.js';

/** @file Remedies with given numbers, made without alignment. For tests, not part of the package. */

const KINDS: Readonly<Record<Change['mode'], RemedyContent['kind']>> = {
  add: 'caa',
  project: 'amplify',
  delta: 'sae',
  blend: 'sae',
};

/**
 * Writes a remedy that makes these interventions, all of one mode other than blend; none: a prompt.
 * @param controls further arms by name, at the same sites
 */
export async function writeMadeRemedy(
  path: string,
  model: RemediedModel,
  interventions: readonly Intervention[],
  controls: Readonly<Record<string, readonly Intervention[]>> = {},
): Promise<void> {
  const { hidden, layers } = model.spec;
  const mode = interventions[0]?.change.mode;
  const identity = { format: REMEDY_FORMAT, formatVersion: REMEDY_VERSION, seed: 0, options: { mode }, inputs: [] };
  const directory = await ArtifactDirectory.open(path, identity);
  const tensors: Record<string, SafetensorsTensor> = {};
  for (const [arm, changes] of Object.entries({ remedy: interventions, ...controls }))
    for (const intervention of changes)
      for (const [name, { data, shape }] of Object.entries(interventionTensors(intervention, hidden))) {
        if (name === 'sink_threshold') continue;
        const flat = ['w', 'u'].includes(name) ? [hidden] : shape;
        const numbers = data as Float32Array<ArrayBuffer>;
        tensors[tensorName(arm, intervention.site, name)] = { dtype: 'F32', shape: flat, data: numbers };
      }
  const content: RemedyContent = {
    version: 1,
    kind: mode ? KINDS[mode] : 'prompt',
    profile: 'rigorous',
    model: { name: model.name, sha256: model.sha256, tokenizer: model.tokenizer.sha256, hidden, layers, precision: 'fp32' },
    template: null,
    corpus: null,
    seed: 0,
    sites: interventions.map(({ site, sinkThreshold, change }) => ({
      site,
      layer: parseSite(site, layers).layer,
      sinkThreshold,
      modes: [change.mode],
      ...(change.mode === 'project' && { gate: change.gate }),
      evaluation: null,
    })),
    ...(mode === undefined && { prompt: { place: 'system', text: 'Be kind.', tokens: 3 } }),
    arms: [
      { name: 'remedy', kind: 'remedy', ...(mode === undefined ? { modes: [], text: 'Be kind.' } : { modes: [mode] }) },
      ...Object.entries(controls).map(([name, [{ change }]]) => ({ name, kind: 'shuffled' as const, modes: [change.mode] })),
    ],
    notes: [],
    summary: 'made for a test',
  };
  await writeRemedy(directory, { content, tensors, fittedTexts: [] });
  await directory.finish({});
}
