// Tokens a second of one text and of a batch of 16, greedy, prompts of some thirty tokens included, against transformers in fp32 and
// against llama.cpp on the same GGUF.
//   npm run bench -- generate [--model NAME] [--python PATH] [--llama DIR] [--tokens N] [--batch N] [--precisions LIST] [--threads N] [--repeats N]
// --python: a Python with torch and transformers (and gguf for a GGUF model). --llama: a directory in which `npm install node-llama-cpp`
// was run; it runs the weights as the file has them, on the CPU. Without them our side alone is measured. Each is measured in a process of its own.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { resolveModel } from '../dist/checkpoint/sources.js';
import { LanguageModel } from '../dist/model/language-model.js';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: 'smollm2-135m' },
    python: { type: 'string' },
    llama: { type: 'string' },
    tokens: { type: 'string', default: '64' },
    batch: { type: 'string', default: '16' },
    precisions: { type: 'string', default: 'fp32,int8,int4' },
    threads: { type: 'string', default: `${availableParallelism()}` },
    repeats: { type: 'string', default: '3' },
    /** One measurement in a process of its own: the request as JSON. */
    alone: { type: 'string' },
  },
});
const [tokens, batch, threads, repeats] = ['tokens', 'batch', 'threads', 'repeats'].map((name) => Number(flags[name]));

const TOPICS = ['a lie', 'a promise', 'a gift', 'an insult', 'a theft', 'a rescue', 'a secret', 'a debt'];
const prompts = Array.from(
  { length: batch },
  (_, i) =>
    `${i + 1}. Here is a short story about ${TOPICS[i % TOPICS.length]} that a teacher told her class on a rainy day in autumn:`,
);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Median seconds for one text and for all, the first time left out. */
async function timed(run) {
  const seconds = { one: [], all: [] };
  for (let i = 0; i <= repeats; i++)
    for (const [kind, count] of [
      ['one', 1],
      ['all', batch],
    ]) {
      const start = performance.now();
      await run(count);
      seconds[kind].push((performance.now() - start) / 1000);
    }
  return Object.fromEntries(Object.entries(seconds).map(([kind, times]) => [kind, median(times.slice(1))]));
}

async function ours({ precision }) {
  const model = await LanguageModel.open(flags.model, { threads });
  const generator = await model.generator({ sequences: batch, precision });
  const ids = prompts.map((prompt) => model.tokenizer.encode(prompt));
  let found = [];
  const seconds = await timed(async (count) => {
    found = await generator.generate(ids.slice(0, count), { maxTokens: tokens, ignoreEos: true });
  });
  await generator.close();
  await model.close();
  const rssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  return { ...seconds, rssMiB, ids: ids.map((some) => [...some]), found: found.map(({ tokenIds }) => [...tokenIds]) };
}

async function llama({ directory, path, ids }) {
  const module = pathToFileURL(join(directory, 'node_modules', 'node-llama-cpp', 'dist', 'index.js')).href;
  const { getLlama, LlamaLogLevel } = await import(module);
  const runtime = await getLlama({ build: 'never', gpu: false, logLevel: LlamaLogLevel.error, maxThreads: threads });
  const model = await runtime.loadModel({ modelPath: path });
  const room = Math.max(...ids.map((some) => some.length)) + tokens + 8;
  const context = await model.createContext({ contextSize: room, sequences: batch, threads, batchSize: 1024 });
  const goOn = async (some) => {
    const sequence = context.getSequence();
    const found = [];
    for await (const id of sequence.evaluate(some, { temperature: 0, yieldEogToken: true })) {
      found.push(id);
      if (found.length === tokens) break;
    }
    await sequence.clearHistory();
    sequence.dispose();
    return found;
  };
  let found = [];
  const seconds = await timed(async (count) => {
    found = await Promise.all(ids.slice(0, count).map(goOn));
  });
  if (found.some((some) => some.length !== tokens)) throw new Error('llama.cpp ended a text early');
  const rssMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  await runtime.dispose();
  return { ...seconds, found, rssMiB };
}

const ALONE = { ours, llama };

/** Runs one of ALONE in a fresh process. */
function alone(kind, request = {}) {
  const { python: _, llama: __, ...rest } = flags;
  const args = Object.entries({ ...rest, alone: JSON.stringify({ kind, ...request }) }).flatMap(([name, value]) => [
    `--${name}`,
    value,
  ]);
  return output(process.execPath, [fileURLToPath(import.meta.url), ...args]);
}

function output(program, args, input) {
  const { stdout, status } = spawnSync(program, args, {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`${program} ended with status ${status}`);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

function peers(path, ids) {
  const found = {};
  if (flags.python) {
    const script = fileURLToPath(new URL('./generate_peer.py', import.meta.url));
    found.transformers = output(flags.python, [script, path], JSON.stringify({ prompts: ids, tokens, threads, repeats }));
  } else console.log('transformers is left out: give --python PATH');
  const directory = flags.llama && resolve(flags.llama);
  if (directory && !path.endsWith('.gguf')) console.log(`llama.cpp is left out: ${path} is no GGUF file`);
  else if (directory && existsSync(join(directory, 'node_modules', 'node-llama-cpp')))
    found.llama = alone('llama', { directory, path, ids });
  else
    console.log(
      flags.llama
        ? `llama.cpp is left out: there is no node-llama-cpp in ${directory}; run npm install node-llama-cpp there`
        : 'llama.cpp is left out: give --llama DIR, where npm install node-llama-cpp was run',
    );
  return found;
}

/** Share of tokens up to which two sets of texts are the same. */
function alike(a, b) {
  const same = a.map((ids, i) => {
    const at = ids.findIndex((id, j) => id !== b[i][j]);
    return at < 0 ? ids.length : at;
  });
  return `${((100 * same.reduce((x, y) => x + y, 0)) / (a.length * tokens)).toFixed(0)}%`;
}

async function main() {
  const precisions = flags.precisions.split(',');
  const { path } = await resolveModel(flags.model);
  const found = Object.fromEntries(precisions.map((precision) => [precision, alone('ours', { precision })]));
  const [first] = Object.values(found);
  const { transformers, llama: llamaCpp } = peers(path, first.ids);
  const prompt = Math.round(first.ids.reduce((sum, ids) => sum + ids.length, 0) / batch);
  console.log(`generation of ${tokens} tokens after prompts of ${prompt}, greedy, ${flags.model}`);
  console.log(`  ${cpus()[0]?.model.trim()}, ${threads} threads, node ${process.versions.node}`);
  console.log(`                        one text        ${batch} texts   tokens/s; peak memory`);
  const row = (name, { one, all, rssMiB }, note = '') =>
    console.log(
      `  ${name.padEnd(20)} ${(tokens / one).toFixed(1).padStart(9)} ${((tokens * batch) / all).toFixed(1).padStart(15)}   ${rssMiB} MiB${note}`,
    );
  const against = (mine, peer) =>
    `${(peer.one / mine.one).toFixed(2)}x one text, ${(peer.all / mine.all).toFixed(2)}x ${batch} texts`;
  for (const [precision, mine] of Object.entries(found)) row(`moralscope ${precision}`, mine);
  if (transformers) {
    const { torch, transformers: version } = transformers.versions;
    row('transformers fp32', transformers, `   torch ${torch}, transformers ${version}`);
  }
  if (llamaCpp) row('llama.cpp', llamaCpp, '   the weights of the file');
  for (const [precision, mine] of Object.entries(found)) {
    if (transformers)
      console.log(
        `  ${precision} against transformers: ${against(mine, transformers)}; same tokens ${alike(mine.found, transformers.found)}`,
      );
    if (llamaCpp)
      console.log(
        `  ${precision} against llama.cpp: ${against(mine, llamaCpp)}; same tokens ${alike(mine.found, llamaCpp.found)}`,
      );
  }
}

if (flags.alone) {
  const { kind, ...request } = JSON.parse(flags.alone);
  console.log(JSON.stringify(await ALONE[kind](request)));
} else await main();
