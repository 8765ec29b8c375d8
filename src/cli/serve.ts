import { once } from 'node:events';
import { MoralscopeError } from '../errors.js';
import { isLoopback } from '../serving/guard.js';
import { ModelServer } from '../serving/model-server.js';
import { ServeOptions } from '../serving/serve-options.js';
import { SteeredModel } from '../serving/steered-model.js';
import { requireRemedyFor } from '../serving/steering-options.js';
import { command } from './command.js';

export const serveCommand = () =>
  command(
    'serve',
    "the model and its remedies behind OpenAI's HTTP API: chat and text completions, one model id an arm",
    ServeOptions,
    async (given, work) => {
      requireRemedyFor(given);
      const { model: source, remedy: remedies, apiKeyEnv, maxBatch, maxQueue, maxBodyMb, patience, log, ...options } = given;
      const apiKey = apiKeyEnv === undefined ? undefined : keyOf(apiKeyEnv);
      const { mode, positions, layers, strength, precision, threads, ...http } = options;
      const model = await SteeredModel.open(source, {
        ...{ remedies, mode, positions, layers, strength, precision, threads, sequences: maxBatch },
        ...work,
      });
      try {
        const server = await ModelServer.start(model, {
          ...http,
          apiKey,
          batch: maxBatch,
          queue: maxQueue,
          maxBody: maxBodyMb * 1e6,
          patience: patience * 1000,
          onRequest: log ? (line) => process.stderr.write(`${line}\n`) : undefined,
        });
        if (!isLoopback(http.host) && apiKey === undefined)
          process.stderr.write(
            `WARNING: everyone who can reach ${http.host} can use this server: it asks for no key. Set one with --api-key-env.\n`,
          );
        process.stderr.write(`Serving ${model.arms.length} model id(s), ${model.name} first, at ${server.url}/v1\n`);
        if (!work.signal.aborted) await once(work.signal, 'abort');
        await server.stop();
        const { requests } = server.service;
        return { json: { url: server.url, requests }, text: `Answered ${requests} requests.` };
      } finally {
        await model.close();
      }
    },
  );

function keyOf(variable: string): string {
  const key = process.env[variable]?.trim();
  if (key) return key;
  throw new MoralscopeError(
    'misuse',
    `--api-key-env: ${variable} is not set.`,
    `Put the key there: ${variable}=... moralscope serve`,
  );
}
