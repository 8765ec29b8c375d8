// Compiles and captures a checkpoint of Qwen3-8B's exact shape, random weights in bf16 in five shards, holds it against fp32 block
// by block, and prints time and peak memory of each, every one in a process of its own.
//   npm run bench -- large [--dir DIR] [--precision int8] [--layers N] [--keep]
// Takes 27 GB of disk in DIR for int8 (default: a new directory of the system's temporary ones), which it removes at the end.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    dir: { type: 'string' },
    precision: { type: 'string', default: 'int8' },
    layers: { type: 'string', default: '36' },
    keep: { type: 'boolean', default: false },
    alone: { type: 'string' },
  },
});

const config = {
  architectures: ['Qwen3ForCausalLM'],
  model_type: 'qwen3',
  hidden_size: 4096,
  intermediate_size: 12288,
  num_hidden_layers: Number(flags.layers),
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  vocab_size: 151936,
  max_position_embeddings: 40960,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  hidden_act: 'silu',
  attention_bias: false,
  tie_word_embeddings: false,
  use_sliding_window: false,
  torch_dtype: 'bfloat16',
};
const SHARDS = 5;
const TEXTS = ['keeping a promise', 'telling a lie to a friend', 'sharing bread with a stranger', 'breaking a window'];

function tensors() {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocabulary } = config;
  const [queries, keys] = [config.num_attention_heads, config.num_key_value_heads].map((heads) => heads * config.head_dim);
  const all = { 'model.embed_tokens.weight': [vocabulary, hidden] };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const block = `model.layers.${layer}`;
    Object.assign(all, {
      [`${block}.input_layernorm.weight`]: [hidden],
      [`${block}.self_attn.q_proj.weight`]: [queries, hidden],
      [`${block}.self_attn.k_proj.weight`]: [keys, hidden],
      [`${block}.self_attn.v_proj.weight`]: [keys, hidden],
      [`${block}.self_attn.q_norm.weight`]: [config.head_dim],
      [`${block}.self_attn.k_norm.weight`]: [config.head_dim],
      [`${block}.self_attn.o_proj.weight`]: [hidden, queries],
      [`${block}.post_attention_layernorm.weight`]: [hidden],
      [`${block}.mlp.gate_proj.weight`]: [inner, hidden],
      [`${block}.mlp.up_proj.weight`]: [inner, hidden],
      [`${block}.mlp.down_proj.weight`]: [hidden, inner],
    });
  }
  return Object.assign(all, { 'model.norm.weight': [hidden], 'lm_head.weight': [vocabulary, hidden] });
}

/** Gaussian numbers of standard deviation .02 as bf16: one pool, read from another place each time. */
function gaussianPool(count) {
  const pool = new Uint16Array(count);
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  let seed = 1;
  const uniform = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed + 1) / 2 ** 32;
  };
  for (let i = 0; i < count; i++) {
    float[0] = 0.02 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    pool[i] = bits[0] >>> 16;
  }
  return pool;
}

/** A small tokenizer of a fixture, with a token for each word that will be run, so that texts are as long as in real models. */
async function writeTokenizer(dir) {
  const { GENERAL_SENTENCES } = await import('../dist/activations/general-text.js');
  const { PROBE } = await import('../dist/diagnosis/probe-texts.js');
  const tokenizer = JSON.parse(readFileSync(new URL('../fixtures/tokenizers/digits/tokenizer.json', import.meta.url), 'utf8'));
  tokenizer.model.ignore_merges = true;
  const { vocab } = tokenizer.model;
  const words = `${[...GENERAL_SENTENCES, ...PROBE.texts, ...TEXTS].join(' ')} is morally`.match(/\w+/g);
  let next = Math.max(...Object.values(vocab), ...tokenizer.added_tokens.map(({ id }) => id)) + 1;
  for (const word of words.flatMap((each) => [each, `\u0120${each}`])) if (!(word in vocab)) vocab[word] = next++;
  writeFileSync(join(dir, 'tokenizer.json'), JSON.stringify(tokenizer));
}

async function writeCheckpoint(dir) {
  mkdirSync(dir, { recursive: true });
  await writeTokenizer(dir);
  const all = Object.entries(tensors());
  const pool = gaussianPool(1 << 23);
  const ones = new Uint16Array(config.hidden_size).fill(0x3f80);
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  const total = 2 * all.reduce((sum, [, shape]) => sum + size(shape), 0);
  const shards = Array.from({ length: SHARDS }, () => []);
  let before = 0;
  for (const [name, shape] of all) {
    shards[Math.min(SHARDS - 1, Math.floor((before * SHARDS) / total))].push([name, shape]);
    before += 2 * size(shape);
  }
  const weightMap = {};
  let turn = 0;
  for (const [i, held] of shards.entries()) {
    const file = `model-0000${i + 1}-of-0000${SHARDS}.safetensors`;
    let offset = 0;
    const header = {};
    for (const [name, shape] of held) {
      weightMap[name] = file;
      header[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + 2 * size(shape)] };
      offset += 2 * size(shape);
    }
    let json = JSON.stringify(header);
    json += ' '.repeat((8 - (json.length % 8)) % 8);
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(json.length));
    const handle = await open(join(dir, file), 'w');
    await handle.write(prefix);
    await handle.write(json);
    for (const [, shape] of held) {
      for (let left = size(shape); left > 0; ) {
        turn = (turn * 7 + 12_345) % (pool.length / 2);
        const part = (shape.length === 1 ? ones : pool.subarray(turn)).subarray(0, left);
        await handle.write(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
        left -= part.length;
      }
    }
    await handle.close();
  }
  writeFileSync(
    join(dir, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }),
  );
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  return total;
}

/** Highest resident memory of this process, and what of it is now pages of no file. */
function memory() {
  const status = existsSync('/proc/self/status') ? readFileSync('/proc/self/status', 'utf8') : '';
  const gigabytes = (field) => Number(status.match(new RegExp(`${field}:\\s+(\\d+) kB`))?.[1] ?? Number.NaN) / 1e6;
  return { peak: gigabytes('VmHWM'), anonymous: gigabytes('RssAnon'), file: gigabytes('RssFile') };
}

const PHASES = {
  async compile(path) {
    const { LanguageModel } = await import('../dist/model/language-model.js');
    const opened = performance.now();
    const model = await LanguageModel.open(path);
    const started = performance.now();
    await model.compile({ precision: flags.precision, logits: 'last' });
    await model.close();
    return { open: (started - opened) / 1000, seconds: (performance.now() - started) / 1000, parameters: model.parameters };
  },
  async judge(path) {
    const { LanguageModel } = await import('../dist/model/language-model.js');
    const { formatPrecisionError } = await import('../dist/activations/precision-error.js');
    const { precisionError } = await import('../dist/diagnosis/precision-error.js');
    const model = await LanguageModel.open(path);
    const started = performance.now();
    const error = formatPrecisionError(await precisionError(model, flags.precision));
    await model.close();
    return { seconds: (performance.now() - started) / 1000, error };
  },
  async capture(path, out) {
    const { capture } = await import('../dist/capture.js');
    const started = performance.now();
    const { details } = await capture({ model: path, texts: TEXTS, readout: true, precision: flags.precision, out });
    return { seconds: (performance.now() - started) / 1000, tokens: details.tokens, work: details.work };
  },
};

if (flags.alone) {
  const [phase, ...rest] = JSON.parse(flags.alone);
  const result = await PHASES[phase](...rest);
  console.log(JSON.stringify({ ...result, ...memory() }));
} else {
  const root = flags.dir ?? mkdtempSync(join(tmpdir(), 'moralscope-large-'));
  const path = join(root, 'qwen3-8b-shape');
  const alone = (...request) => {
    const started = performance.now();
    const { stdout, status, signal } = spawnSync(
      process.execPath,
      [
        fileURLToPath(import.meta.url),
        '--precision',
        flags.precision,
        '--layers',
        flags.layers,
        '--alone',
        JSON.stringify(request),
      ],
      {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, MORALSCOPE_CACHE: join(root, 'cache') },
      },
    );
    if (status !== 0) throw new Error(`${request[0]} ended with ${status ?? signal}`);
    return { ...JSON.parse(stdout.trim().split('\n').at(-1)), wall: (performance.now() - started) / 1000 };
  };
  try {
    if (!existsSync(join(path, 'config.json'))) {
      const started = performance.now();
      const total = await writeCheckpoint(path);
      console.log(
        `checkpoint   ${(total / 1e9).toFixed(1)} GB of bf16 in ${((performance.now() - started) / 1000).toFixed(0)} s`,
      );
    }
    const show = (name, { peak, anonymous, file, wall, ...rest }) =>
      console.log(
        `${name.padEnd(12)} ${wall.toFixed(0)} s, peak resident ${peak.toFixed(2)} GB; at its end ${anonymous.toFixed(2)} GB of its own and ${file.toFixed(2)} GB of mapped files ${JSON.stringify(rest)}`,
      );
    show('compile', alone('compile', path));
    if (flags.precision !== 'fp32') show('error report', alone('judge', path));
    show('capture', alone('capture', path, join(root, `captured-${flags.precision}`)));
  } finally {
    if (!flags.keep) rmSync(root, { recursive: true, force: true });
  }
}
