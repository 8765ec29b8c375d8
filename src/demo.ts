/** @file The whole way, small: a model diagnosed, an autoencoder trained, its moral latents realigned, the remedy held against its controls. */
import { join } from 'node:path';
import { z } from 'zod';
import { type AlignedRemedy, align } from './alignment/align.js';
import { writeFileAtomic } from './artifact/files.js';
import { type VerifiedRemedy, verifyRemedy } from './evaluation/verify.js';
import { parseOptions } from './options.js';
import type { WorkOptions } from './progress.js';
import { renderVerification } from './report/verify-report.js';
import { type TrainedSummary, trainSaes } from './sae/train.js';
import { formatStudy, type Study, StudyOptions, study } from './study.js';

/** The model, the corpus and the layer of the demo, and sizes that keep it to minutes. */
const MODEL = 'smollm2-135m';
const LAYER = '18';
const SAE = { width: [1152], k: [16], batch: 512, tokens: 250_000, learningRate: 1e-3 };
const VERIFIED = { strengths: [0.25, 0.5, 1], rediagnosed: 6 };

export const DemoOptions = StudyOptions.pick({ permutations: true, bootstraps: true, seed: true }).extend({
  out: z.string().default(join('runs', 'demo')).describe('directory for report.html, sae/, remedy/ and verify/'),
});
export type DemoOptions = z.input<typeof DemoOptions> & WorkOptions;

export interface Demo {
  study: Study;
  sae: TrainedSummary;
  remedy: AlignedRemedy;
  verified: VerifiedRemedy;
}

/**
 * The study of the default model on the starter corpus, then a small sparse autoencoder on the corpus's own tokens at one layer, its moral
 * latents realigned, and the remedy verified beside its controls. The same call again goes on where it stopped, or returns what is there.
 */
export async function demo(options: DemoOptions = {}): Promise<Demo> {
  const { onProgress, signal, ...given } = options;
  const work = { onProgress, signal };
  const { out, seed, ...draws } = parseOptions(DemoOptions, given);
  const [corpus, activations] = [join(out, 'corpus'), join(out, 'activations')];
  const studied = await study({ model: MODEL, corpus: 'starter', out, seed, ...draws, ...work });
  const training = { model: MODEL, corpus, layers: LAYER, out: join(out, 'sae'), seed, ...SAE };
  const { path, manifest } = await trainSaes({ ...training, ...work });
  const [sae] = manifest.details.saes as TrainedSummary[];
  const aligning = { sae: [join(path, sae.folder)], activations, corpus, out: join(out, 'remedy'), controls: true, seed };
  const remedy = await align({ ...aligning, ...work });
  const verifying = { model: MODEL, remedy: remedy.directory, corpus: [corpus], out: join(out, 'verify'), seed, ...VERIFIED };
  const verified = await verifyRemedy({ ...verifying, ...work });
  await writeFileAtomic(join(verified.directory, 'report.html'), renderVerification(verified.verification, verified.manifest));
  return { study: studied, sae, remedy, verified };
}

/** What the demo found, for reading in a terminal. */
export function formatDemo({ study: studied, sae, remedy, verified }: Demo): string {
  const { layer, width, fvu, dead } = sae;
  return [
    formatStudy(studied),
    '',
    `A sparse autoencoder of ${width} latents at layer ${layer}: FVU ${fvu.toFixed(3)}, ${(100 * dead).toFixed(0)}% dead.`,
    remedy.content.summary,
    ...remedy.content.notes,
    '',
    verified.verification.verdict.text,
    '',
    `The remedy's report: ${join(verified.directory, 'report.html')}`,
  ].join('\n');
}
