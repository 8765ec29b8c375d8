import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openRemedy } from '../alignment/remedy.js';
import { writeMadeRemedy } from '../alignment/remedy.test.support.js';
import { type Intervention, shapeOf } from '../model/intervention.js';
import { byShape, interventionsOf, strengthFor, strengthsIn, variantsOf } from './steered-arms.js';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'arms-'));
});
afterAll(() => rm(root, { recursive: true }));

const SITES = ['blocks.0.hook_resid_post', 'blocks.2.hook_resid_post'];
const MODEL = { name: 'small', sha256: 'a', spec: { hidden: 4, layers: 3 }, tokenizer: { sha256: 'b' } };
const made = (site: string, first: number): Intervention => ({
  site,
  change: { mode: 'add', direction: Float32Array.of(first, 0, 0, 1) },
  positions: 'all',
  sinkThreshold: 9,
});

test('a remedy of two sites is used at both, or at either', async () => {
  await writeMadeRemedy(join(root, 'two'), MODEL, [made(SITES[0], 1), made(SITES[1], 2)]);
  const remedy = await openRemedy(join(root, 'two'));
  const variants = variantsOf(remedy);
  expect(variants.map(({ mode, sites }) => [mode, sites])).toEqual([
    ['add', SITES],
    ['add', [SITES[0]]],
    ['add', [SITES[1]]],
  ]);
  const arm = { name: 'remedy', modes: ['add' as const] };
  const [, , last] = variants.map((variant) => interventionsOf(remedy, arm, variant, 'last'));
  expect(last).toEqual([{ ...made(SITES[1], 2), positions: 'last' }]);
  // A control that has another mode is used in its own.
  expect(interventionsOf(remedy, arm, { mode: 'delta', sites: [SITES[0]] }, 'all')).toEqual([made(SITES[0], 1)]);
});

test('a prompt has one variant, and steers nothing', async () => {
  await writeMadeRemedy(join(root, 'prompt'), MODEL, []);
  const remedy = await openRemedy(join(root, 'prompt'));
  const [variant, ...others] = variantsOf(remedy);
  expect([variant, others]).toEqual([{ mode: null, sites: [] }, []]);
  expect(interventionsOf(remedy, remedy.arm('remedy'), variant, 'all')).toEqual([]);
});

test('a mode is tried at the strengths that it takes; a control in a mode of its own at the nearest', () => {
  const asked = [0, 0.5, 1, 2, 16];
  const variant = (mode: 'blend' | 'delta' | null) => ({ mode, sites: SITES });
  expect(strengthsIn(variant('blend'), asked)).toEqual([0, 0.5, 1]);
  expect(strengthsIn(variant('delta'), asked)).toEqual(asked);
  expect(strengthsIn(variant(null), [1])).toEqual([1]);
  expect(strengthFor({ modes: ['delta', 'blend'] }, variant('delta'), 2)).toBe(2);
  expect(strengthFor({ modes: ['blend'] }, variant('delta'), 2)).toBe(1);
  expect(strengthFor({ modes: ['blend'] }, variant('delta'), 0.5)).toBe(0.5);
  expect(strengthFor({ modes: [] }, variant(null), 1)).toBe(1);
});

test('arms of one shape share a graph', () => {
  const shapes = [made(SITES[0], 1), made(SITES[1], 1), made(SITES[0], 7)].map((one) => [shapeOf(one)]);
  const groups = byShape([0, 1, 2], (i) => shapes[i]);
  expect(groups.map(({ items }) => items)).toEqual([[0, 2], [1]]);
});
