import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../artifact/files.js';
import { jsonLines, readResult } from '../artifact/result.js';
import { renderTrainingReport } from '../report/training-report.js';
import { type TrainedSummary, trainSaes } from '../sae/train.js';
import { TrainSaeOptions } from '../sae/train-options.js';
import type { StepMetrics } from '../sae/training.js';
import { command } from './command.js';

const Metrics = z.array(z.custom<StepMetrics>((line) => Number.isInteger((line as StepMetrics | null)?.step))).min(1);

export const saeTrainCommand = () =>
  command(
    'train',
    'train sparse autoencoders on stored activations, or on those of a model while it runs',
    TrainSaeOptions,
    async (options, work) => {
      const { path, manifest } = await trainSaes({ ...options, ...work });
      const saes = manifest.details.saes as TrainedSummary[];
      const metrics: Record<string, StepMetrics[]> = {};
      for (const { folder } of saes) {
        metrics[folder] = await readResult(join(path, folder, 'metrics.jsonl'), Metrics, jsonLines);
      }
      const report = join(path, 'report.html');
      await writeFileAtomic(report, renderTrainingReport({ manifest, saes, metrics }));
      const line = ({ folder, fvu, l0, dead }: TrainedSummary) =>
        `${join(path, folder)}: FVU ${fvu.toFixed(4)}, L0 ${l0.toFixed(1)}, dead ${(100 * dead).toFixed(1)}%`;
      return { json: { directory: path, report, ...manifest.details }, text: [...saes.map(line), report].join('\n') };
    },
  );
