import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{proto,server,client-sdk}/src/**/*.test.ts', 'examples/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/slow/**'],
    testTimeout: 20_000,
  },
});
