import { afterEach, expect, test } from 'vitest';
import { MoralscopeError } from '../errors.js';
import { Crew } from './crew.js';
import type { CrewTask } from './crew.test.support.js';

const MODULE = new URL('./crew.test.support.js', import.meta.url);
let crew: Crew<CrewTask, number>;
const open = (threads: number, data: unknown = {}) => {
  crew = new Crew(MODULE, data, threads);
  return crew;
};
afterEach(() => crew.close());

const failure = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable('it did not fail'),
    (error) => error as MoralscopeError,
  );

test('gives every task its own result, whatever their order', async () => {
  open(2);
  const results = await Promise.all(Array.from({ length: 25 }, (_, i) => crew.run(i === 3 ? { wait: 200 } : { double: i })));
  expect(results).toEqual(Array.from({ length: 25 }, (_, i) => (i === 3 ? 1 : 2 * i)));
});

test("a worker's error keeps its code and fix, and the worker goes on", async () => {
  open(1);
  const refused = crew.run({ refuse: true });
  const after = crew.run({ double: 4 });
  const error = await failure(refused);
  expect(error).toBeInstanceOf(MoralscopeError);
  expect(error).toMatchObject({ code: 'bad-data', message: 'Text 3 is broken.', fix: 'Repair it.' });
  expect(await after).toBe(8);
  const defect = await failure(crew.run({ break: true }));
  expect(defect).not.toBeInstanceOf(MoralscopeError);
  expect(defect.message).toBe('undefined is no function');
  expect(defect.stack).toContain('crew.test.support');
});

test('a worker that cannot begin says so with its first task', async () => {
  open(1, { unusable: true });
  expect(await failure(crew.run({ double: 1 }))).toMatchObject({ code: 'bad-file', fix: 'Give it something.' });
});

test.each(['throw', 'exit'] as const)('a worker that dies (%s) fails what runs, what waits and what comes', async (crash) => {
  open(1);
  const [running, waiting] = [crew.run({ crash }), crew.run({ double: 1 })].map(failure);
  const error = await running;
  expect(error.message).toMatch(crash === 'throw' ? 'out of the blue' : /ended.*3/);
  expect(await waiting).toBe(error);
  expect(await failure(crew.run({ double: 1 }))).toBe(error);
});

test('close rejects what runs and what waits, and says how to go on', async () => {
  open(1);
  const [running, waiting] = [crew.run({ wait: 60_000 }), crew.run({ double: 1 })].map(failure);
  await crew.close();
  const error = await running;
  expect(error).toMatchObject({ code: 'cancelled', fix: expect.stringContaining('again') });
  expect(await waiting).toBe(error);
  expect(await failure(crew.run({ double: 1 }))).toBe(error);
});
