import { expect, test } from 'vitest';
import { z } from 'zod';
import { cancelled } from '../errors.js';
import { command } from './command.js';

test.each([
  [{}, 'Run the same command again to go on where it stopped.'],
  [{ beginsAnew: true }, 'Run the same command again.'],
])('a command that was stopped says what comes of running it again: %j', async (how, fix) => {
  const stopped = command('stopped', '', z.object({}), () => Promise.reject(cancelled()), how);
  await expect(stopped.parseAsync([], { from: 'user' })).rejects.toMatchObject({ code: 'cancelled', message: 'Stopped.', fix });
});

test.each([
  [{ beginsAnew: true }, 'not-found'],
  [{}, 'not-found'],
])('other errors come through as they are: %j', async (how, code) => {
  const error = Object.assign(cancelled(), { code });
  const failed = command('failed', '', z.object({}), () => Promise.reject(error), how);
  await expect(failed.parseAsync([], { from: 'user' })).rejects.toBe(error);
});
