import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { synthesizeMotion } from '@facewire/proto';
import { openEngine, readConfig } from '@facewire/server';

const BATCHES = [1, 4, 8];
/** Each row runs at least so long, ms. */
const ROW_MS = 1_500;

/** Frames per second of the renderer alone, built-in avatars, moving motion: the median run counts. */
export async function run(args: string[]): Promise<object> {
  const { values } = parseArgs({ args, options: { model: { type: 'string' }, device: { type: 'string' } } });
  const dataDir = await mkdtemp(join(tmpdir(), 'facewire-bench-'));
  const config = readConfig({
    ...process.env,
    FACEWIRE_DATA: dataDir,
    ...(values.model
      ? { FACEWIRE_MODEL: fileURLToPath(new URL(`../../models/${values.model}`, import.meta.url)) }
      : {}),
    ...(values.device ? { FACEWIRE_DEVICE: values.device } : {}),
  });
  const engine = await openEngine(config);
  try {
    const { renderer, avatars } = engine;
    const ids = avatars.list().map((avatar) => avatar.id);
    const rows = [];
    for (const size of renderer.sizes) {
      for (const batch of BATCHES) {
        const times: number[] = [];
        const until = performance.now() + ROW_MS;
        for (let index = 0; index < 3 || performance.now() < until; index++) {
          const pictures = Array.from({ length: batch }, (_, item) => ({
            avatar: ids[item % ids.length]!,
            size,
            view: { yaw: 0.1 * item, pitch: 0 },
            motion: synthesizeMotion(index / 30, item + 1),
          }));
          const beganAtMs = performance.now();
          await renderer.render(pictures, { i420: true, rgb: false });
          // The first two runs load avatars and warm the allocator up.
          if (index >= 2) times.push((performance.now() - beganAtMs) / batch);
        }
        times.sort((a, b) => a - b);
        const msPerFrame = times[Math.floor(times.length / 2)]!;
        rows.push({
          size,
          batch,
          framesPerSecond: Math.round(10_000 / msPerFrame) / 10,
          msPerFrame: Math.round(msPerFrame * 100) / 100,
        });
      }
    }
    return {
      bench: 'render',
      model: renderer.model,
      device: renderer.device,
      threads: config.threads,
      machine: cpus()[0]?.model,
      rows,
    };
  } finally {
    await engine.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}
