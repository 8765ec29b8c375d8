// Checks that a directory of `moralscope export --format onnx` gives in @huggingface/transformers (Node) and in onnxruntime-web (WASM,
// headless Chromium) what it gives here: token ids, logits of a batch padded on the left, greedy continuations.
// Seen with @huggingface/transformers 4.3.1, onnxruntime-web 1.31.0, playwright-core 1.65.1, Chromium 156.
//
//   npm run build
//   node scripts/check_export.js --dir EXPORTED --model M [--remedy R --mode M --strength S --precision P]
//     [--modules DIR/node_modules [--chromium /usr/bin/chromium]] [--save FILE.safetensors, our logits for check_export.py]
//
// DIR is where `npm install @huggingface/transformers onnxruntime-web playwright-core` was run.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { openRemedy } from '../dist/alignment/remedy.js';
import { writeSafetensors } from '../dist/checkpoint/safetensors.js';
import { tokenizerStrings } from '../dist/checkpoint/tokenizer-strings.test.support.js';
import { shapeOf } from '../dist/model/intervention.js';
import { LanguageModel } from '../dist/model/language-model.js';

const { values: flags } = parseArgs({
  options: {
    ...Object.fromEntries(
      ['dir', 'model', 'remedy', 'mode', 'precision', 'modules', 'chromium', 'save'].map((name) => [name, { type: 'string' }]),
    ),
    strength: { type: 'string', default: '1' },
    tokens: { type: 'string', default: '24' },
  },
});
const directory = resolve(flags.dir);
const modules = flags.modules && resolve(flags.modules);
const strength = Number(flags.strength);
const steps = Number(flags.tokens);
const PROMPTS = [
  'Returning the wallet that I found in the street is',
  'It is wrong to lie',
  'The three most important things in a friendship are honesty, patience and',
];

const say = (line) => process.stdout.write(`${line}\n`);
let failed = false;
const check = (what, value, good) => {
  failed ||= !good;
  say(`${good ? 'ok  ' : 'FAIL'} ${what}: ${value}`);
};
const most = (numbers) => numbers.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
const least = (numbers) => numbers.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
/** Largest difference, and that as a share of the range of what is expected. */
function difference(found, expected) {
  if (found.length !== expected.length) return { largest: Number.POSITIVE_INFINITY, share: Number.POSITIVE_INFINITY };
  const largest = most(found.map((value, i) => Math.abs(value - expected[i])));
  return { largest, share: largest / (most(expected) - least(expected)) };
}
const shown = ({ largest, share }) => `${largest.toExponential(1)}, ${share.toExponential(1)} of their range`;
const argmax = (row) => row.reduce((best, value, i) => (value > row[best] ? i : best), 0);

/** Logits after each token of each text, and greedy continuations, by our own session. */
async function own() {
  const model = await LanguageModel.open(flags.model);
  const remedy = flags.remedy && (await openRemedy(flags.remedy));
  const interventions = remedy ? remedy.interventions({ mode: flags.mode }) : [];
  const { precision } = flags;
  const session = await model.decoding({ sites: [], logits: 'all', interventions: interventions.map(shapeOf), precision });
  const steering = { interventions, strength };
  const texts = PROMPTS.map((prompt) => Array.from(model.tokenizer.encode(prompt)));
  const { vocabulary } = session.compiled;
  const results = [];
  for (const ids of texts) {
    const cache = session.cache();
    const batch = { ids: Int32Array.from(ids), lengths: Int32Array.of(ids.length), batch: 1, length: ids.length };
    const { logits: all } = await session.prefill(cache, batch, steering);
    const logits = all.slice();
    const continued = [];
    let row = logits.subarray(-vocabulary);
    for (let step = 0; step < steps; step++) {
      const id = argmax(row);
      continued.push(id);
      row = (await session.step(cache, Int32Array.of(id), steering)).logits.slice(0, vocabulary);
    }
    results.push({ ids, logits, continued });
  }
  await session.close();
  const { tokenizer } = model;
  await model.close();
  return { results, tokenizer, vocabulary };
}

/** Lengths of the same in which continuations agree; a text that ended counts as a whole. */
function agreement(found, expected) {
  const differs = expected.findIndex((id, i) => found[i] !== id);
  return differs < 0 || differs >= found.length ? expected.length : differs;
}

async function inNode({ results, tokenizer, vocabulary }) {
  const file = createRequire(join(modules, 'x.js')).resolve('@huggingface/transformers');
  const tjs = await import(pathToFileURL(join(dirname(file), 'transformers.node.mjs')));
  tjs.env.allowRemoteModels = false;
  tjs.env.localModelPath = `${dirname(directory)}/`;
  const name = basename(directory);
  const theirs = await tjs.AutoTokenizer.from_pretrained(name);
  const same = (text) => {
    const [a, b] = [theirs.encode(text), tokenizer.encode(text)];
    return a.length === b.length && a.every((id, i) => id === b[i]);
  };
  const strings = await tokenizerStrings();
  const other = strings.filter((text) => !same(text));
  check('transformers.js, token ids of the prompts', 'same', PROMPTS.every(same));
  say(
    `     transformers.js, of ${strings.length} strings it tokenizes otherwise: ${other.length} ${JSON.stringify(other.slice(0, 2))}`,
  );

  const model = await tjs.AutoModelForCausalLM.from_pretrained(name);
  const inputs = {
    ...theirs(PROMPTS, { padding: true }),
    ...(model.sessions.model.inputNames.includes('strength') && {
      strength: new tjs.Tensor('float32', Float32Array.of(strength), [1]),
    }),
  };
  // What `generate` hands on to the graph.
  model.forward_params.push('strength');
  const { logits } = await model(inputs);
  const [, length] = inputs.input_ids.dims;
  const errors = results.map(({ ids, logits: expected }, text) => {
    const from = (text * length + length - ids.length) * vocabulary;
    return difference(logits.data.slice(from, (text + 1) * length * vocabulary), expected);
  });
  check(
    'transformers.js, logits of a batch padded on the left, largest difference',
    errors.map(shown).join('; '),
    errors.every(({ share }) => share < 1e-5),
  );
  const generated = await model.generate({ ...inputs, max_new_tokens: steps, do_sample: false });
  const agree = results.map(({ continued }, text) => {
    const found = Array.from(generated.data.slice(text * generated.dims[1] + length, (text + 1) * generated.dims[1]), Number);
    return agreement(found, continued);
  });
  check(
    `transformers.js, greedy tokens that agree, of ${steps}`,
    agree.join(', '),
    agree.every((n) => n === steps),
  );
  say(`     ${JSON.stringify(theirs.decode(results[0].continued))}`);
  await model.dispose();
}

/** Serves the directory and the modules to this machine. */
async function serve() {
  const types = { js: 'text/javascript', mjs: 'text/javascript', wasm: 'application/wasm', html: 'text/html' };
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname;
    const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
    if (path === '/')
      return response.writeHead(200, { ...headers, 'Content-Type': 'text/html' }).end('<!doctype html><title>check</title>');
    const file = path.startsWith('/modules/') ? join(modules, path.slice(9)) : join(directory, path.slice(7));
    try {
      const { size } = await stat(file);
      response.writeHead(200, {
        ...headers,
        'Content-Length': size,
        'Content-Type': types[file.split('.').at(-1)] ?? 'application/octet-stream',
      });
      createReadStream(file).pipe(response);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

async function inBrowser({ results, vocabulary }) {
  const { chromium } = createRequire(join(modules, 'x.js'))('playwright-core');
  const { server, url } = await serve();
  const browser = await chromium.launch({ executablePath: flags.chromium, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    await page.goto(url);
    const { ids, logits, continued } = results[0];
    const found = await page.evaluate(
      async ({ ids, count, vocabulary, strength }) => {
        const ort = await import('/modules/onnxruntime-web/dist/ort.wasm.min.mjs');
        ort.env.wasm.wasmPaths = '/modules/onnxruntime-web/dist/';
        ort.env.wasm.numThreads = 1;
        const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
        const session = await ort.InferenceSession.create(await bytes('/model/onnx/model.onnx'), {
          executionProviders: ['wasm'],
          externalData: [{ path: 'model.onnx_data', data: await bytes('/model/onnx/model.onnx_data') }],
        });
        const int64 = (numbers) => new ort.Tensor('int64', BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
        const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
        let past = {};
        for (const { name, shape } of session.inputMetadata)
          if (name.startsWith('past')) past[name] = new ort.Tensor('float32', new Float32Array(0), [1, shape[1], 0, shape[3]]);
        const given = { strength: new ort.Tensor('float32', Float32Array.of(strength), [1]) };
        const continued = [];
        let [next, seen, first] = [ids, 0, undefined];
        for (let step = 0; step < count; step++) {
          const end = seen + next.length;
          const feeds = {
            input_ids: int64(next),
            attention_mask: int64(range(0, end).map(() => 1)),
            position_ids: int64(range(seen, end)),
            ...past,
            ...given,
          };
          const out = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]])));
          first ??= Array.from(out.logits.data);
          const row = out.logits.data.slice(-vocabulary);
          next = [row.reduce((best, value, i) => (value > row[best] ? i : best), 0)];
          continued.push(next[0]);
          past = Object.fromEntries(Object.keys(past).map((name) => [name, out[name.replace('past_key_values', 'present')]]));
          seen = end;
        }
        return { logits: first, continued, version: ort.env.versions.web };
      },
      { ids, count: steps, vocabulary, strength },
    );
    const error = difference(Float32Array.from(found.logits), logits);
    check(
      `onnxruntime-web ${found.version} (WASM) in Chromium ${browser.version()}, logits, largest difference`,
      shown(error),
      error.share < 1e-5,
    );
    const agree = agreement(found.continued, continued);
    check(`onnxruntime-web, greedy tokens that agree, of ${steps}`, agree, agree === steps);
  } finally {
    await browser.close();
    server.close();
  }
}

const ours = await own();
say(
  `logits from ${ours.results[0].logits.reduce((a, b) => Math.min(a, b)).toFixed(1)} to ${most(ours.results[0].logits).toFixed(1)}`,
);
if (flags.save) {
  const tensors = {};
  for (const [i, { ids, logits }] of ours.results.entries()) {
    tensors[`${i}.ids`] = { dtype: 'I64', shape: [ids.length], data: BigInt64Array.from(ids, BigInt) };
    tensors[`${i}.logits`] = { dtype: 'F32', shape: [ids.length, ours.vocabulary], data: logits };
  }
  await writeSafetensors(flags.save, tensors);
}
if (flags.modules) await inNode(ours);
if (flags.modules && flags.chromium) await inBrowser(ours);
process.exitCode = failed ? 1 : 0;
