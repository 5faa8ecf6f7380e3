import { defineConfig } from 'vitest/config';

// Suites that need a browser, long runs or other programs. CI runs them after `npm test`.
export default defineConfig({
  test: {
    include: ['test/slow/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
});
