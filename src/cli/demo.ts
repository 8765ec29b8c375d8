import { DemoOptions, demo, formatDemo } from '../demo.js';
import { command } from './command.js';

export const demoCommand = () =>
  command(
    'demo',
    'the whole way, small: a model diagnosed, a sparse autoencoder trained and realigned, the remedy held against its controls',
    DemoOptions,
    async (options, work) => {
      const result = await demo({ ...options, ...work });
      const { study, sae, remedy, verified } = result;
      return {
        json: { diagnosis: study.diagnosis, sae, remedy: remedy.content, verification: verified.verification },
        text: formatDemo(result),
      };
    },
  );
