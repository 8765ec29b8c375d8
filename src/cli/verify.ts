import { join } from 'node:path';
import { writeFileAtomic } from '../artifact/files.js';
import { verifyRemedy } from '../evaluation/verify.js';
import { VerifyOptions } from '../evaluation/verify-options.js';
import { renderVerification } from '../report/verify-report.js';
import { command } from './command.js';

export const verifyCommand = () =>
  command(
    'verify',
    'what a remedy does, beside its controls: says, knows, gap closed, damage, one verdict: verify.json and report.html',
    VerifyOptions,
    async (options, work) => {
      const { verification, manifest, directory } = await verifyRemedy({ ...options, ...work });
      const report = join(directory, 'report.html');
      await writeFileAtomic(report, renderVerification(verification, manifest));
      const { sets, notes, verdict } = verification;
      return {
        json: { directory, report, ...verification },
        text: [verdict.text, '', ...sets.map(({ told }) => told), ...notes, '', join(directory, 'verify.json'), report].join(
          '\n',
        ),
      };
    },
  );
