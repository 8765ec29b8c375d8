import { join } from 'node:path';
import { screenFeatures } from '../alignment/features.js';
import { FeaturesOptions } from '../alignment/features-options.js';
import { writeFileAtomic } from '../artifact/files.js';
import { renderFeatures } from '../report/features-report.js';
import { command } from './command.js';

export const featuresCommand = () =>
  command(
    'features',
    'moral features of a sparse autoencoder: screened, judged on held-out texts, described',
    FeaturesOptions,
    async (options, work) => {
      const { features, manifest, directory } = await screenFeatures({ ...options, ...work });
      const report = join(directory, 'features.html');
      await writeFileAtomic(report, renderFeatures(features, manifest));
      return {
        json: { directory, report, ...features },
        text: [features.summary, ...features.notes, join(directory, 'features.json'), report].join('\n'),
      };
    },
    { beginsAnew: true },
  );
