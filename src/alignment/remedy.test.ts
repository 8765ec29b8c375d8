import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ArtifactDirectory } from '../artifact/directory.js';
import { openSafetensors, type SafetensorsTensor, writeSafetensors } from '../checkpoint/safetensors.js';
import type { Change, Latents } from '../model/intervention.js';
import { Random } from '../random.js';
import { sparseAutoencoder } from '../sae/architecture.js';
import { writeSaeLens } from '../sae/formats/saelens.js';
import { changedStates } from './changed-states.js';
import { openRemedy, REMEDY_FORMAT, REMEDY_VERSION, requireItsModel, writeRemedy } from './remedy.js';
import { randomArms, randomDirections } from './remedy-controls.js';
import type { RemedyContent } from './remedy-schema.js';
import { tensorName } from './remedy-tensors.js';

/** @file The directory of a remedy by hand: an autoencoder of 8 latents of which two were aligned, and vectors. */

const [HIDDEN, WIDTH] = [4, 8];
const SITE = 'blocks.1.hook_resid_post';
const LATENTS = [5, 2];

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'remedy-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const random = new Random(1, 'remedy test');
const numbers = (n: number, scale = 1) => Float32Array.from({ length: n }, () => scale * random.normal());
const tensor = (data: Float32Array, ...shape: number[]): SafetensorsTensor => ({
  dtype: 'F32',
  shape,
  data: new Float32Array(data),
});
const latents = (count: number) => ({ wEnc: numbers(HIDDEN * count), bEnc: numbers(count), wDec: numbers(count * HIDDEN) });

const base: Omit<RemedyContent, 'kind' | 'sites' | 'arms'> = {
  version: 1,
  profile: 'rigorous',
  model: { name: 'tiny', sha256: 'a'.repeat(64), tokenizer: 'b'.repeat(64), hidden: HIDDEN, layers: 3, precision: 'fp32' },
  template: '{action} is morally',
  corpus: { name: 'starter', authored: true, sha256: 'c'.repeat(64), pairs: false },
  seed: 0,
  notes: [],
  summary: 'made by hand',
};
const identity = { format: REMEDY_FORMAT, formatVersion: REMEDY_VERSION, seed: 0, options: {}, inputs: [] };
const site = { site: SITE, layer: 1, sinkThreshold: 100, evaluation: null };

async function write(name: string, content: RemedyContent, tensors: Record<string, SafetensorsTensor>): Promise<string> {
  const directory = await ArtifactDirectory.open(join(root, name), identity);
  await writeRemedy(directory, { content, tensors, fittedTexts: [] });
  await directory.finish({});
  return directory.path;
}

const direction = numbers(HIDDEN);
const caa: RemedyContent = {
  ...base,
  kind: 'caa',
  sites: [{ ...site, modes: ['add'] }],
  arms: [{ name: 'remedy', kind: 'remedy', modes: ['add'] }, ...randomArms(2, 7, ['add'])],
};
const randoms = randomDirections(2, HIDDEN, 3, 7, SITE);
const caaTensors = () => ({
  [tensorName('remedy', SITE, 'direction')]: tensor(direction, HIDDEN),
  ...Object.fromEntries(
    caa.arms.slice(1).map(({ name }, i) => [tensorName(name, SITE, 'direction'), tensor(randoms[i], HIDDEN)]),
  ),
});

describe('vectors', () => {
  test('come back as they were written, each arm its own', async () => {
    const remedy = await openRemedy(await write('caa', caa, caaTensors()));
    expect(remedy.kind).toBe('caa');
    expect(remedy.content).toEqual(caa);
    expect(remedy.interventions()).toEqual([
      { site: SITE, change: { mode: 'add', direction }, positions: 'all', sinkThreshold: 100 },
    ]);
    const [control] = remedy.interventions({ arm: 'random-01-', positions: 'last' });
    expect(control).toMatchObject({ positions: 'last', change: { mode: 'add', direction: randoms[3] } });
    expect(remedy.interventions({ layers: [1] })).toHaveLength(1);
  });

  test('random directions have the length asked for, and each its negative', () => {
    expect(randoms).toHaveLength(4);
    for (const [i, vector] of randoms.entries()) {
      expect(Math.hypot(...vector)).toBeCloseTo(3, 5);
      expect(vector).toEqual(randoms[i ^ 1].map((value) => -value));
    }
    expect(randoms[0]).not.toEqual(randoms[2]);
  });

  test('of a projection: what arms share is stored once', async () => {
    const [w, u, other] = [numbers(HIDDEN), numbers(HIDDEN), numbers(HIDDEN)];
    const content: RemedyContent = {
      ...base,
      kind: 'amplify',
      sites: [{ ...site, modes: ['project'], gate: 'linear' }],
      arms: [
        { name: 'remedy', kind: 'remedy', modes: ['project'] },
        { name: 'random-00+', kind: 'random', modes: ['project'], sign: 1 },
      ],
    };
    const path = await write('amplify', content, {
      [tensorName('shared', SITE, 'w')]: tensor(w, HIDDEN),
      [tensorName('shared', SITE, 'b')]: tensor(Float32Array.of(0.5), 1),
      [tensorName('remedy', SITE, 'u')]: tensor(u, HIDDEN),
      [tensorName('random-00+', SITE, 'u')]: tensor(other, HIDDEN),
    });
    const remedy = await openRemedy(path);
    expect(remedy.interventions()[0].change).toEqual({ mode: 'project', w, b: 0.5, u, gate: 'linear' });
    expect(remedy.interventions({ arm: 'random-00+' })[0].change).toEqual({
      mode: 'project',
      w,
      b: 0.5,
      u: other,
      gate: 'linear',
    });
  });
});

describe('an autoencoder', () => {
  const centre = numbers(HIDDEN);
  const whole = latents(WIDTH);
  const after = latents(2);
  const shuffled = { ...latents(1), latents: [6] };
  /** The latents of the whole at these places. */
  const taken = (at: readonly number[]): Latents => ({
    wEnc: Float32Array.from(
      { length: HIDDEN * at.length },
      (_, i) => whole.wEnc[Math.floor(i / at.length) * WIDTH + at[i % at.length]],
    ),
    bEnc: Float32Array.from(at, (latent) => whole.bEnc[latent]),
    wDec: Float32Array.from(at.flatMap((latent) => [...whole.wDec.subarray(latent * HIDDEN, (latent + 1) * HIDDEN)])),
  });
  /** The whole with other latents at these places. */
  const replaced = (at: readonly number[], by: Latents): Latents => {
    const [wEnc, bEnc, wDec] = [whole.wEnc.slice(), whole.bEnc.slice(), whole.wDec.slice()];
    at.forEach((latent, i) => {
      for (let c = 0; c < HIDDEN; c++) wEnc[c * WIDTH + latent] = by.wEnc[c * at.length + i];
      bEnc[latent] = by.bEnc[i];
      wDec.set(by.wDec.subarray(i * HIDDEN, (i + 1) * HIDDEN), latent * HIDDEN);
    });
    return { wEnc, bEnc, wDec };
  };
  const sides = (arm: string, side: 'before' | 'after', { wEnc, bEnc, wDec }: Latents) => ({
    [tensorName(arm, SITE, `${side}.wEnc`)]: tensor(wEnc, HIDDEN, bEnc.length),
    [tensorName(arm, SITE, `${side}.bEnc`)]: tensor(bEnc, bEnc.length),
    [tensorName(arm, SITE, `${side}.wDec`)]: tensor(wDec, bEnc.length, HIDDEN),
  });
  const places = (arm: string, at: readonly number[]) => ({
    [tensorName(arm, SITE, 'latents')]: {
      dtype: 'I32',
      shape: [at.length],
      data: Int32Array.from(at),
    } satisfies SafetensorsTensor,
  });
  const content: RemedyContent = {
    ...base,
    kind: 'sae',
    sites: [
      {
        ...site,
        modes: ['delta', 'blend'],
        sae: { folder: `sae/${SITE}`, architecture: 'relu', width: WIDTH },
        features: LATENTS.map((latent) => ({ latent, pole: 'care', r: 0.2, reason: 'top 50 of care' })),
        curves: { loss: [3, 2, 1], validation: [3, null, 2] },
      },
    ],
    arms: [
      { name: 'remedy', kind: 'remedy', modes: ['delta', 'blend'] },
      { name: 'unaligned', kind: 'unaligned', modes: ['blend'] },
      { name: 'shuffled-00', kind: 'shuffled', modes: ['delta', 'blend'] },
      { name: 'random-00+', kind: 'random', modes: ['add'], sign: 1 },
    ],
  };
  const states = numbers(6 * HIDDEN);
  const moved = (change: Change) => {
    const intervention = { site: SITE, change, positions: 'all' as const, sinkThreshold: 100 };
    return changedStates(states, HIDDEN, intervention, 1).map((value, i) => value - states[i]);
  };
  const blend = (change: Change) => {
    if (change.mode !== 'blend') throw new RangeError(change.mode);
    return change;
  };
  let path: string;

  beforeAll(async () => {
    path = await write('sae', content, {
      [tensorName('shared', SITE, 'centre')]: tensor(centre, HIDDEN),
      ...sides('shared', 'before', taken(LATENTS)),
      ...sides('remedy', 'after', after),
      ...places('shared', LATENTS),
      ...sides('shuffled-00', 'before', taken(shuffled.latents)),
      ...sides('shuffled-00', 'after', shuffled),
      ...places('shuffled-00', shuffled.latents),
      [tensorName('random-00+', SITE, 'direction')]: tensor(direction, HIDDEN),
    });
    const spec = {
      architecture: 'relu',
      dIn: HIDDEN,
      width: WIDTH,
      applyDecoderBiasToInput: true,
      normalisation: 'none',
    } as const;
    const sae = sparseAutoencoder(spec, { ...replaced(LATENTS, after), bDec: centre });
    await mkdir(join(path, 'sae', SITE), { recursive: true });
    await writeSaeLens(join(path, 'sae', SITE), { sae, origin: { site: { layer: 1, point: 'resid_post' } } });
  });

  test('gives the delta of its latents, and the blend of the whole', async () => {
    const remedy = await openRemedy(path);
    expect(remedy.content).toEqual(content);
    const [delta] = remedy.interventions();
    expect(delta.change).toEqual({ mode: 'delta', centre, before: taken(LATENTS), after });
    const aligned = blend(remedy.interventions({ mode: 'blend' })[0].change);
    expect(aligned).toEqual({ mode: 'blend', centre, bias: centre, latents: replaced(LATENTS, after) });
    const before = blend(remedy.interventions({ arm: 'unaligned' })[0].change);
    expect(before.latents).toEqual(whole);
    const [a, b, d] = [moved(aligned), moved(before), moved(delta.change)];
    expect(Math.hypot(...d)).toBeGreaterThan(0.1);
    d.forEach((value, i) => {
      expect(value).toBeCloseTo(a[i] - b[i], 4);
    });
  });

  test('of a shuffled fit has its own latents, and none of the remedy', async () => {
    const remedy = await openRemedy(path);
    const own = blend(remedy.interventions({ arm: 'shuffled-00', mode: 'blend' })[0].change);
    expect(own.latents).toEqual(replaced(shuffled.latents, shuffled));
    expect(remedy.interventions({ arm: 'shuffled-00' })[0].change).toMatchObject({
      mode: 'delta',
      before: taken(shuffled.latents),
    });
  });

  test('an arm has no mode that it was not made for', async () => {
    const remedy = await openRemedy(path);
    expect(() => remedy.interventions({ arm: 'unaligned', mode: 'delta' })).toThrow(/unaligned.*has no mode delta, only blend/);
    expect(() => remedy.interventions({ mode: 'add' })).toThrow(/\(sae\) has no mode add, only delta, blend/);
  });

  test('that is gone, or takes other states, is told', async () => {
    await rm(join(path, 'sae'), { recursive: true });
    await expect(openRemedy(path)).rejects.toMatchObject({
      name: 'MoralscopeError',
      message: expect.stringContaining(join('sae', SITE)),
    });
  });
});

describe('refused with a reason', () => {
  test('an arm of a remedy without controls, and one that is unknown', async () => {
    const alone = await openRemedy(
      await write(
        'alone',
        { ...caa, arms: caa.arms.slice(0, 1) },
        { [tensorName('remedy', SITE, 'direction')]: tensor(direction, HIDDEN) },
      ),
    );
    expect(() => alone.interventions({ arm: 'shuffled-00' })).toThrow(/no arm shuffled-00: it was made without --controls/);
    const controlled = await openRemedy(join(root, 'caa'));
    expect(() => controlled.interventions({ arm: 'shuffled-00' })).toThrow(/only remedy, random-00 and on \(4\)/);
    expect(() => controlled.interventions({ mode: 'delta' })).toThrow(/\(caa\) has no mode delta, only add/);
    expect(() => controlled.interventions({ layers: [2] })).toThrow(/nothing at layer 2, only at 1/);
  });

  test.each<[string, (tensors: Record<string, SafetensorsTensor>) => void, RegExp]>([
    [
      'is missing',
      (tensors) => delete tensors[tensorName('random-01+', SITE, 'direction')],
      /no tensor random-01\+\/.*direction/,
    ],
    [
      'has another shape',
      (tensors) => {
        tensors[tensorName('remedy', SITE, 'direction')] = tensor(numbers(3), 3);
      },
      /remedy\/.*direction has shape \[3\] where \[4\] is needed/,
    ],
    [
      'holds NaN',
      (tensors) => {
        tensors[tensorName('remedy', SITE, 'direction')] = tensor(Float32Array.of(1, 2, Number.NaN, 4), HIDDEN);
      },
      /remedy\/.*direction holds NaN at position 2/,
    ],
  ])('a tensor that %s', async (name, spoil, message) => {
    const path = await write(`spoilt ${name}`, caa, caaTensors());
    const tensors: Record<string, SafetensorsTensor> = caaTensors();
    spoil(tensors);
    await writeSafetensors(join(path, 'remedy.safetensors'), tensors);
    await expect(openRemedy(path)).rejects.toMatchObject({ code: 'bad-file', message: expect.stringMatching(message) });
  });

  test('a damaged remedy.json, a later version, another directory, none', async () => {
    const path = await write('damaged', caa, caaTensors());
    const json = join(path, 'remedy.json');
    const good = await readFile(json, 'utf8');
    await writeFile(json, good.replace('"caa"', '"magic"'));
    await expect(openRemedy(path)).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringMatching(/remedy\.json is damaged: kind/),
    });
    await writeFile(json, good.slice(0, 100));
    await expect(openRemedy(path)).rejects.toMatchObject({ code: 'bad-file' });
    await writeFile(json, good);
    const manifest = join(path, 'manifest.json');
    const said = await readFile(manifest, 'utf8');
    await writeFile(manifest, said.replace('"formatVersion": 1', '"formatVersion": 9'));
    await expect(openRemedy(path)).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining('version 9') });
    await writeFile(manifest, said.replace(REMEDY_FORMAT, 'moralscope.corpus'));
    await expect(openRemedy(path)).rejects.toMatchObject({
      code: 'bad-file',
      message: expect.stringContaining('moralscope.corpus'),
    });
    await expect(openRemedy(join(root, 'nowhere'))).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a folder outside the directory', async () => {
    const path = await write('outside', caa, caaTensors());
    const json = join(path, 'remedy.json');
    const content = JSON.parse(await readFile(json, 'utf8'));
    content.sites[0].sae = { folder: '../../elsewhere', architecture: 'relu', width: 8 };
    await writeFile(json, JSON.stringify(content));
    await expect(openRemedy(path)).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining('sae.folder') });
  });

  const model = (changed: object) => ({
    name: 'other',
    sha256: 'a'.repeat(64),
    tokenizer: { sha256: 'b'.repeat(64) },
    spec: { hidden: HIDDEN, layers: 3 },
    ...changed,
  });
  test.each<[string, object, RegExp]>([
    ['width', { spec: { hidden: 8, layers: 3 } }, /states of 4 channels \(tiny\); other has 8/],
    ['layer', { spec: { hidden: HIDDEN, layers: 1 } }, /blocks\.1\.hook_resid_post \(tiny\); other has 1 layers, 0 to 0/],
    ['depth', { spec: { hidden: HIDDEN, layers: 5 } }, /a model of 3 layers \(tiny\); other has 5/],
    ['checkpoint', { sha256: 'd'.repeat(64) }, /tiny \(aaaaaaaaaaaa\); other is another checkpoint \(dddddddddddd\)/],
    [
      'tokenizer',
      { tokenizer: { sha256: 'e'.repeat(64) } },
      /the tokenizer bbbbbbbbbbbb \(tiny\); other comes with the tokenizer eeeeeeeeeeee/,
    ],
  ])('a model of another %s', async (_, changed, message) => {
    const remedy = await openRemedy(join(root, 'caa'));
    expect(() => requireItsModel(remedy, model({}))).not.toThrow();
    expect(() => requireItsModel(remedy, model(changed))).toThrow(message);
  });
});

test('the tensors are a safetensors file that others open', async () => {
  const file = await openSafetensors(join(root, 'caa', 'remedy.safetensors'));
  expect(file.names()).toContain(tensorName('remedy', SITE, 'direction'));
  expect(file.metadata).toEqual({ kind: 'caa' });
  await file.close();
});
