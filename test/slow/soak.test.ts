import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runBots } from '@facewire/example-bots/runBots';
import { spawnServer } from '@facewire/server/spawn';
import { expect, it } from 'vitest';

const SECONDS = 60;
/** The sockets' and encoders' working set grows at first; what counts is what comes after. */
const SETTLE_SECONDS = 20;
/**
 * Growth over the last 40 s that still counts as flat. What runs need of a batch size that is drawn for the first time
 * comes out of the one arena that all sessions share, which holds what the runs of one moment ever took.
 */
const FLAT_MEGABYTES = 48;

function residentMegabytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line![1]) / 1024;
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

it('8 players and 24 viewers, 6 of them reading slowly, leave memory flat for a minute', async () => {
  const data = await mkdtemp(join(tmpdir(), 'facewire-soak-'));
  const env = { FACEWIRE_DEMO_SEATS: '0', FACEWIRE_LOG: 'warn', FACEWIRE_DATA: data };
  const server = await spawnServer(env, { mostMs: 180_000 });
  try {
    const samples: { atMs: number; megabytes: number }[] = [];
    const startedAtMs = performance.now();
    const timer = setInterval(
      () => samples.push({ atMs: performance.now() - startedAtMs, megabytes: residentMegabytes(server.process.pid!) }),
      500,
    );
    const report = await runBots(
      server.url,
      {
        players: 8,
        viewers: 24,
        seconds: SECONDS,
        transport: 'ws',
        url: server.url,
        slow: 6,
        size: 128,
        framesPerSecond: 15,
        streams: 256,
        json: true,
      },
      () => {},
    );
    clearInterval(timer);
    console.log(JSON.stringify(report));
    expect(report.errors).toBe(0);
    // Every avatar reached every viewer that reads, whatever the slow ones did.
    expect(report.framesPerSecond.min).toBeGreaterThan(1);
    const settled = samples.filter((sample) => sample.atMs > SETTLE_SECONDS * 1000);
    const quarter = Math.floor(settled.length / 4);
    const early = median(settled.slice(0, quarter).map((sample) => sample.megabytes));
    const late = median(settled.slice(-quarter).map((sample) => sample.megabytes));
    console.log(`resident memory: ${early.toFixed(0)} MB early, ${late.toFixed(0)} MB late`);
    expect(late - early).toBeLessThan(FLAT_MEGABYTES);
  } finally {
    await server.close();
    await rm(data, { recursive: true, force: true });
  }
});
