import { defineConfig } from 'vitest/config';

// Tests run on what ships: the compiled files, so that worker threads load the same modules a user's process would.
export default defineConfig({
  test: {
    include: ['dist/**/*.test.js'],
    testTimeout: 120_000,
    hookTimeout: 300_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
