import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const PRELOAD = fileURLToPath(new URL('../server/scripts/threadPool.cjs', import.meta.url));

function threads(env: Record<string, string>): number {
  const { UV_THREADPOOL_SIZE: _, FACEWIRE_DEVICE: __, FACEWIRE_THREADS: ___, ...clean } = process.env;
  const args = ['--require', PRELOAD, '--print', 'process.env.UV_THREADPOOL_SIZE'];
  return Number(execFileSync(process.execPath, args, { env: { ...clean, ...env }, encoding: 'utf8' }));
}

describe("the server's worker threads", () => {
  it('are one for each core to encode on, and one for each run that may be under way, never fewer than four', () => {
    const cores = availableParallelism();
    const atLeast = (gpus: number, cpu = Math.min(8, cores)) => Math.max(4, cores + Math.max(2 * gpus, cpu));
    expect(threads({})).toBe(atLeast(1));
    expect(threads({ FACEWIRE_THREADS: '16' })).toBe(cores + 16);
    expect(threads({ FACEWIRE_THREADS: '1' })).toBe(atLeast(1, 1));
    expect(threads({ FACEWIRE_DEVICE: 'cuda:0,1,2' })).toBe(atLeast(3));
    expect(threads({ FACEWIRE_DEVICE: 'cuda:0,1', FACEWIRE_THREADS: '12' })).toBe(cores + 12);
    expect(threads({ FACEWIRE_THREADS: 'many' })).toBe(atLeast(1));
  });

  it('are as many as the environment says where it says so', () => {
    expect(threads({ UV_THREADPOOL_SIZE: '7' })).toBe(7);
  });
});
