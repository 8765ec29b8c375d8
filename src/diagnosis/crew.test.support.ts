/** @file The worker of the crew's tests. */
import { setTimeout as sleep } from 'node:timers/promises';
import { MoralscopeError } from '../errors.js';
import { serveCrew } from './crew.js';

export type CrewTask = { double: number } | { refuse: true } | { break: true } | { crash: 'throw' | 'exit' } | { wait: number };

serveCrew<{ unusable?: boolean }, CrewTask, number>(async ({ unusable }, signal) => {
  if (unusable) throw new MoralscopeError('bad-file', 'The worker has nothing to work on.', 'Give it something.');
  const work = async (task: CrewTask) => {
    if ('double' in task) return 2 * task.double;
    if ('refuse' in task) throw new MoralscopeError('bad-data', 'Text 3 is broken.', 'Repair it.');
    if ('break' in task) throw new TypeError('undefined is no function');
    if ('wait' in task) return sleep(task.wait, 1, { signal });
    if (task.crash === 'exit') process.exit(3);
    setTimeout(() => {
      throw new RangeError('out of the blue');
    });
    return sleep(60_000, 1);
  };
  return { work };
});
