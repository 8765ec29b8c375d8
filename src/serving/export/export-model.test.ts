import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeMadeRemedy } from '../../alignment/remedy.test.support.js';
import { sha256 } from '../../artifact/files.js';
import { openCheckpoint } from '../../checkpoint/checkpoint.js';
import { openGguf } from '../../checkpoint/gguf.js';
import { openSafetensors } from '../../checkpoint/safetensors.js';
import { GraphSession } from '../../graph/session.js';
import { mapDecoder } from '../../model/family.js';
import { type Intervention, interventionTensors } from '../../model/intervention.js';
import { type Kind, randomChange } from '../../model/intervention.test.support.js';
import { LanguageModel } from '../../model/language-model.js';
import { Random } from '../../random.js';
import { exportModel } from './export-model.js';
import { hubConfig } from './hub-config.js';

const fixture = (name: string) => fileURLToPath(new URL(`../../../fixtures/${name}`, import.meta.url));
const MODEL = fixture('tiny-llama');
const SITE = 'blocks.1.hook_resid_post';

let work: string;
let model: LanguageModel;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'moralscope-export-'));
  process.env.MORALSCOPE_CACHE = join(work, 'cache');
  model = await LanguageModel.open(MODEL);
});
afterAll(async () => {
  await model.close();
  await rm(work, { recursive: true });
});

const changed = (kind: Kind, site = SITE): Intervention => ({
  site,
  change: randomChange(kind, model.spec.hidden, new Random(3)),
  positions: 'all',
  sinkThreshold: 50,
});

let count = 0;
async function remedyOf(...interventions: Intervention[]): Promise<string> {
  const path = join(work, `remedy-${count++}`);
  await writeMadeRemedy(path, model, interventions);
  return path;
}
const out = () => join(work, `out-${count++}`);

test('onnx: a whole model, made once', async () => {
  const remedy = await remedyOf(changed('delta'), changed('delta', 'blocks.0.hook_resid_post'));
  const options = { model: MODEL, remedy, out: out(), strengthInput: true };
  const made = await exportModel(options);
  expect((await readdir(made.directory, { recursive: true })).sort()).toEqual(['manifest.json', 'onnx', ...made.files].sort());
  const session = await GraphSession.open(join(made.directory, 'onnx', 'model.onnx'), { threads: 1 });
  const past = [0, 1].flatMap((layer) => ['key', 'value'].map((part) => `past_key_values.${layer}.${part}`));
  expect([...session.inputs].sort()).toEqual(['attention_mask', 'input_ids', 'position_ids', 'strength', ...past].sort());
  expect(session.outputs).toEqual(['logits', ...past.map((name) => name.replace('past_key_values', 'present'))]);
  await session.close();
  const config = JSON.parse(await readFile(join(made.directory, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ model_type: 'llama', 'transformers.js_config': { dtype: 'fp32' } });
  expect(await exportModel(options)).toEqual(made);
  await expect(exportModel({ ...options, strengthInput: false })).rejects.toMatchObject({
    code: 'misuse',
    message: expect.stringContaining('strength was null, now 1'),
  });
});

test('gguf: a control vector that is the direction times the strength, by block', async () => {
  const remedy = await remedyOf(changed('add'));
  const { directory, files } = await exportModel({ model: MODEL, remedy, out: out(), format: 'gguf', strength: -0.5 });
  const { metadata, tensors } = await openGguf(join(directory, files[0]));
  expect(metadata).toMatchObject({
    'general.architecture': 'controlvector',
    'controlvector.model_hint': 'llama',
    'controlvector.layer_count': 1,
  });
  expect(tensors.names()).toEqual(['direction.1']);
  const { change } = changed('add');
  if (change.mode !== 'add') throw new Error(change.mode);
  expect(await tensors.read('direction.1')).toEqual(change.direction.map((value) => -0.5 * value));
  await tensors.close();
});

test('lm-eval: the file that torch was seen to load (scripts/check_export.py)', async () => {
  const remedy = await remedyOf(changed('add', 'blocks.0.hook_resid_post'));
  const { directory, files } = await exportModel({ model: MODEL, remedy, out: out(), format: 'lm-eval', strength: 2 });
  const bytes = await readFile(join(directory, files[0]));
  expect(bytes.toString('latin1')).toContain('layers.0');
  expect(sha256(bytes)).toBe('7d79bfbb04c032d0f43b3534deb6e3cedad08a6c4d992f1e7d6d77912fde27e9');
});

test.each(['delta with thresholds', 'project with a ReLU', 'add'] as const)(
  'torch: the numbers of %s, by module',
  async (kind) => {
    const intervention = changed(kind);
    const remedy = await remedyOf(intervention);
    const { directory } = await exportModel({ model: MODEL, remedy, out: out(), format: 'torch', strength: 0.25 });
    const file = await openSafetensors(join(directory, 'steering.safetensors'));
    const expected = interventionTensors(intervention, model.spec.hidden);
    expect(file.names().sort()).toEqual(
      Object.keys(expected)
        .map((name) => `layers.1/${name}`)
        .sort(),
    );
    for (const [name, { data, shape }] of Object.entries(expected)) {
      expect(file.info(`layers.1/${name}`).shape).toEqual(shape);
      expect(await file.read(`layers.1/${name}`)).toEqual(data);
    }
    await file.close();
    const readme = await readFile(join(directory, 'README.md'), 'utf8');
    expect(readme).toContain('steer(model, strength=0.25)');
    expect(readme.includes('torch.relu(')).toBe(kind === 'project with a ReLU');
  },
);

describe('is refused', () => {
  const refused = async (options: Partial<Parameters<typeof exportModel>[0]>, message: RegExp) => {
    const given = { model: MODEL, out: out(), ...options };
    await expect(exportModel(given)).rejects.toMatchObject({ code: 'misuse', message: expect.stringMatching(message) });
    // Nothing is begun that is not to be finished.
    expect(await readdir(given.out).catch(() => [])).toEqual([]);
  };

  test('what others cannot say', async () => {
    const [add, project] = [await remedyOf(changed('add')), await remedyOf(changed('project'))];
    await refused({ remedy: add, positions: 'prompt' }, /positions prompt cannot be exported/);
    await refused({ remedy: project, format: 'gguf' }, /project at blocks\.1\.hook_resid_post depends on the state/);
    await refused({ remedy: project, format: 'lm-eval' }, /lm-evaluation-harness.* project at/);
    const first = await remedyOf(changed('add', 'blocks.0.hook_resid_post'));
    await refused({ remedy: first, format: 'gguf' }, /no control vector for block 0/);
    const inside = await remedyOf(changed('add', 'blocks.1.hook_mlp_out'));
    for (const format of ['gguf', 'lm-eval', 'torch'] as const)
      await refused({ remedy: inside, format }, /blocks\.1\.hook_mlp_out is none/);
    const twice = await remedyOf(changed('add', 'blocks.0.hook_resid_post'), changed('add', 'blocks.1.hook_resid_pre'));
    await refused({ remedy: twice, format: 'torch' }, /cannot change blocks\.1\.hook_resid_pre/);
    await refused({ remedy: await remedyOf() }, /is a text/);
  });

  test('to write into the directory of the model, or over files of others', async () => {
    const model = join(work, 'model');
    await cp(MODEL, model, { recursive: true });
    await symlink(model, join(work, 'link'));
    const before = (await readdir(model)).sort();
    for (const name of ['model', join('model', 'deep', 'out'), join('link', 'out')])
      await expect(exportModel({ model, out: join(work, name) })).rejects.toMatchObject({
        code: 'misuse',
        message: expect.stringContaining('the directory of the model itself'),
      });
    const remedy = await remedyOf(changed('add'));
    await expect(exportModel({ model: MODEL, remedy, format: 'lm-eval', out: model })).rejects.toMatchObject({
      code: 'misuse',
      message: expect.stringContaining(`${model} was not made by moralscope`),
    });
    expect((await readdir(model)).sort()).toEqual(before);
  });

  test('options that make no sense together', async () => {
    const remedy = await remedyOf(changed('delta'));
    await refused({ format: 'torch' }, /torch is what a remedy changes/);
    await refused({ strengthInput: true }, /strength as an input/);
    await refused({ remedy, format: 'torch', strengthInput: true }, /strength as an input/);
    await refused({ remedy, format: 'torch', precision: 'int8' }, /holds none of the model's weights/);
    await refused({ remedy, strength: 17 }, /strength of 17 for delta/);
    await refused({ remedy, mode: 'blend' }, /has no mode blend/);
    await refused({ remedy, arm: 'shuffled-00' }, /without --controls/);
    const other = join(work, 'other');
    await cp(fixture('tiny-mistral'), other, { recursive: true });
    await cp(join(MODEL, 'tokenizer.json'), join(other, 'tokenizer.json'));
    await refused({ remedy, model: other }, /was made for tiny-llama .* is another checkpoint/);
  });
});

test.each(['llama', 'gemma2', 'qwen3', 'gpt-oss', 'qwen3-moe', 'llama4'])(
  'config.json for a GGUF of %s says what the model is',
  async (family) => {
    const gguf = await openCheckpoint(fixture(`tiny-${family}.gguf`));
    const made = hubConfig(gguf, mapDecoder(gguf), { ...model.tokenizer, padId: 0 });
    const config = JSON.parse(await readFile(fixture(`tiny-${family}/config.json`), 'utf8'));
    const published = config.text_config ?? config;
    const same = Object.keys(made).filter(
      (key) => published[key] != null && !/token_id$|^(?:rms_norm_eps|intermediate_size)$/.test(key),
    );
    expect(same.length).toBeGreaterThan(9);
    for (const key of same) expect([key, made[key]]).toEqual([key, published[key]]);
    await gguf.close();
  },
);
