import { expect, it } from 'vitest';
import { processorMs, spawnServer } from './spawn.ts';

/** Put in front of a server it never comes to listen. */
const WAITING = 'data:text/javascript,await%20new%20Promise((resolve)=>setTimeout(resolve,1e9))';

const env = { FACEWIRE_DEMO_SEATS: '0', FACEWIRE_LOG: 'warn' };

it('a server that does not come to listen is given up and ended, with what it did meanwhile', async () => {
  await expect(spawnServer({ ...env, NODE_OPTIONS: `--import=${WAITING}` }, { mostMs: 1 })).rejects.toThrow(
    /did not listen within \d+ ms \(processor time \d+ ms\)/,
  );
});

it('a server that ends before it listens is told at once, with its own words', async () => {
  await expect(spawnServer({ ...env, FACEWIRE_PORT: 'none' })).rejects.toThrow(
    /ended with code 1 before it listened:.*config_invalid/s,
  );
});

it('processor time of a process is that of all its threads, and undefined for none', async () => {
  if (process.platform !== 'linux') return;
  const before = (await processorMs(process.pid))!;
  const { user } = process.cpuUsage();
  // Not by the clock: on a busy machine others have most of that time.
  while (process.cpuUsage().user - user < 100_000);
  expect((await processorMs(process.pid))! - before).toBeGreaterThanOrEqual(20);
  expect(await processorMs(2 ** 30)).toBeUndefined();
});
