import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{proto,server,client-sdk}/src/**/*.test.ts', 'examples/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/slow/**'],
    // For a busy machine of two cores: who waits that long fails, and nobody else waits.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
