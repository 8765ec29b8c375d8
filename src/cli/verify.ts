import { join } from 'node:path';
import { verifyRemedy } from '../evaluation/verify.js';
import { VerifyOptions } from '../evaluation/verify-options.js';
import { command } from './command.js';

export const verifyCommand = () =>
  command(
    'verify',
    'what a remedy does, beside its controls: says, knows, gap closed, damage, one verdict: verify.json and report.html',
    VerifyOptions,
    async (options, work) => {
      const { verification, directory } = await verifyRemedy({ ...options, ...work });
      const { sets, notes, verdict } = verification;
      return {
        json: { directory, ...verification },
        text: [verdict.text, '', ...sets.map(({ told }) => told), ...notes, '', join(directory, 'verify.json')].join('\n'),
      };
    },
  );
