import { describe, expect, test } from 'vitest';
import { GraphBuilder } from '../graph/builder.js';
import { encodeModel } from '../graph/onnx.js';
import { GraphSession, type GraphTensor } from '../graph/session.js';
import { Random } from '../random.js';
import { type ChangeValues, changeOf } from './change-graph.js';
import { type Intervention, idleIntervention, interventionTensors, shapeOf } from './intervention.js';
import { centredError, differenceAt, KINDS, type Kind, randomChange, thresholdAmong } from './intervention.test.support.js';

/** @file What is added to states, by itself. */

const [rows, hidden] = [40, 24];
const random = new Random(5);
const states = Float32Array.from({ length: rows * hidden }, () => random.normal());
const strengths = Float32Array.from({ length: rows }, (_, row) => (row % 4 === 0 ? 0 : row / rows));
const sinkThreshold = thresholdAmong(states, hidden);

/** What the graph of an intervention gives, its numbers inputs or part of it. */
async function change(intervention: Intervention, baked: boolean, strength = strengths): Promise<Float32Array> {
  const tensors: Record<string, GraphTensor> = {
    ...interventionTensors(intervention, hidden),
    strength: { data: strength, shape: [rows, 1] },
  };
  const g = new GraphBuilder();
  const x = g.input('x', 'float32', ['rows', hidden]);
  const values: ChangeValues = (name, shape) =>
    baked ? g.constant(tensors[name].data, tensors[name].shape) : g.input(name, 'float32', shape);
  g.output(changeOf(g, x, shapeOf(intervention), values, 'latents'), 'change');
  const session = await GraphSession.open(encodeModel(g.build('change')), { threads: 1 });
  expect(session.inputs).toHaveLength(baked ? 1 : 1 + Object.keys(tensors).length);
  const feeds = { x: { data: states, shape: [rows, hidden] }, ...(baked ? {} : tensors) };
  const found = await session.run(feeds);
  await session.close();
  return found.change.data as Float32Array;
}

const largest = (numbers: Float32Array | Float64Array) => Math.max(...numbers.map(Math.abs));
const moved = (by: Float32Array | Float64Array) => Float64Array.from(by, (value, i) => states[i] + value);

const interventionOf = (kind: Kind): Intervention => ({
  site: 'blocks.0.hook_resid_post',
  change: randomChange(kind, hidden, new Random(2, kind)),
  positions: 'all',
  sinkThreshold,
});

describe.each(KINDS)('%s', (kind) => {
  const intervention = interventionOf(kind);

  test('is the formula, and nothing for sinks and rows of strength 0', async () => {
    const found = await change(intervention, false);
    const expected = new Float64Array(rows * hidden);
    const untouched: number[] = [];
    for (let row = 0; row < rows; row++) {
      const x = Float64Array.from(states.subarray(row * hidden, (row + 1) * hidden));
      if (Math.hypot(...x) > sinkThreshold || strengths[row] === 0) untouched.push(row);
      else
        expected.set(
          differenceAt(x, intervention.change).map((value) => strengths[row] * value),
          row * hidden,
        );
    }
    expect(untouched.length).toBeGreaterThan(10);
    for (const row of untouched) expect(largest(found.subarray(row * hidden, (row + 1) * hidden))).toBe(0);
    expect(largest(expected)).toBeGreaterThan(0.1);
    expect(centredError(moved(found), moved(expected), hidden)).toBeLessThan(1e-6);
  });

  test('is the same with its numbers in the graph', async () => {
    const [baked, fed] = [await change(intervention, true), await change(intervention, false)];
    expect(centredError(moved(baked), moved(fed), hidden)).toBeLessThan(1e-6);
  });

  test('is nothing where it is idle', async () => {
    const idle = idleIntervention(shapeOf(intervention), hidden);
    expect(shapeOf(idle)).toEqual(shapeOf(intervention));
    expect(largest(await change(idle, false, new Float32Array(rows)))).toBe(0);
  });
});
