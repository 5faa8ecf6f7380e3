import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const PRELOAD = fileURLToPath(new URL('../server/scripts/threadPool.cjs', import.meta.url));

function threads(env: Record<string, string>): number {
  const { UV_THREADPOOL_SIZE: _, FACEWIRE_DEVICE: __, ...clean } = process.env;
  const args = ['--require', PRELOAD, '--print', 'process.env.UV_THREADPOOL_SIZE'];
  return Number(execFileSync(process.execPath, args, { env: { ...clean, ...env }, encoding: 'utf8' }));
}

describe("the server's worker threads", () => {
  it('are one for each core to encode on, and two for each device to wait on, never fewer than four', () => {
    const cores = availableParallelism();
    expect(threads({})).toBe(Math.max(4, cores + 2));
    expect(threads({ FACEWIRE_DEVICE: 'cuda:0,1,2' })).toBe(Math.max(4, cores + 6));
  });

  it('are as many as the environment says where it says so', () => {
    expect(threads({ UV_THREADPOOL_SIZE: '7' })).toBe(7);
  });
});
