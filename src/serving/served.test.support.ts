import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ModelServer, type ModelServerOptions } from './model-server.js';
import { SteeredModel, type SteeredModelOptions } from './steered-model.js';

const TINY = fileURLToPath(new URL('../../fixtures/tiny-llama', import.meta.url));
/** Every word is one that the tiny tokenizer can spell. */
const TEMPLATE =
  "{% for message in messages %}{{ message['role'] + ', ' + message['content'] + '. ' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant,' }}{% endif %}";

/** For tests; not part of the package. Two layers of nonsense, with a context long enough for requests that take a while. */
export async function tinyModel(context = 4096): Promise<{ path: string; remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), 'serving-'));
  const path = join(root, 'tiny');
  await cp(TINY, path, { recursive: true });
  const config = JSON.parse(await readFile(join(path, 'config.json'), 'utf8'));
  await writeFile(join(path, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: context }));
  await writeFile(join(path, 'tokenizer_config.json'), JSON.stringify({ bos_token: '<s>', eos_token: '</s>' }));
  await writeFile(join(path, 'chat_template.jinja'), TEMPLATE);
  return { path, remove: () => rm(root, { recursive: true, force: true }) };
}

export interface Served {
  model: SteeredModel;
  server: ModelServer;
  /** `http://127.0.0.1:PORT/v1` */
  url: string;
  close: () => Promise<void>;
}

/** A server on a port of its own. */
export async function serve(source: string, options: ModelServerOptions & SteeredModelOptions = {}): Promise<Served> {
  const model = await SteeredModel.open(source, { ...options, threads: 1, sequences: options.batch });
  const server = await ModelServer.start(model, { ...options, port: 0 });
  const close = async () => {
    await server.stop();
    await model.close();
  };
  return { model, server, url: `${server.url}/v1`, close };
}
