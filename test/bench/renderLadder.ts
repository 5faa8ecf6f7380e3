import { synthesizeMotion } from '@facewire/proto';
import { type Config, openEngine } from '@facewire/server';
import { OnnxRenderer } from '../../server/src/inference/OnnxRenderer.ts';
import { DEFAULT_TUNING, type SessionTuning } from '../../server/src/inference/ort/OrtSession.ts';

interface Rung {
  name: string;
  threads: number;
  tuning: Partial<SessionTuning>;
}

const SPINNING_ENDS_MS = 150;

/** Each rung changes one thing against the default. */
function rungs(threads: number): Rung[] {
  const changes: Partial<SessionTuning>[] = [
    { optimisation: 'extended' },
    { optimisation: 'basic' },
    { memoryPattern: !DEFAULT_TUNING.memoryPattern },
    { arena: !DEFAULT_TUNING.arena },
    { denormalAsZero: !DEFAULT_TUNING.denormalAsZero },
    // The last of a turn, and given time to end: its threads go on spinning after the run.
    { spinning: !DEFAULT_TUNING.spinning },
  ];
  const counts = [1, threads - 1, threads + 1].filter((count) => count >= 1 && count !== threads);
  return [
    { name: 'default', threads, tuning: {} },
    ...[...new Set(counts)].map((count) => ({ name: `threads ${count}`, threads: count, tuning: {} })),
    ...changes.map((tuning) => {
      const [[option, value]] = Object.entries(tuning) as [[string, unknown]];
      return { name: `${option} ${value}`, threads, tuning };
    }),
  ];
}

/**
 * ONNX Runtime's session options on the CPU, one changed at a time. All rungs take turns, run by run, so that a noisy
 * machine is noisy for all of them. `ms` is of the fastest run, as others share the machine; `cpuMs` the median of the
 * processor time that a run took, on all threads, which hardly depends on what else runs. Ratios above 1 are worse than
 * the default.
 */
export async function measureLadder(config: Config, sizes: readonly number[], rowMs: number): Promise<object> {
  const engine = await openEngine({ ...config, device: 'cpu' });
  try {
    const ids = engine.avatars.list().map(({ id }) => id);
    const rows = [];
    for (const size of sizes) {
      const opened = await Promise.all(
        rungs(config.threads).map(async ({ name, threads, tuning }) => ({
          name,
          times: [] as number[],
          cpuTimes: [] as number[],
          renderer: await OnnxRenderer.create({
            package: engine.package,
            threads,
            tuning,
            sizes: [size],
            maxBatch: 1,
            bankSlots: 4,
            loadAvatar: (id) => engine.avatars.load(id),
          }),
        })),
      );
      const untilMs = performance.now() + rowMs * opened.length;
      for (let turn = 0; turn < 4 || performance.now() < untilMs; turn++) {
        await new Promise((resolve) => setTimeout(resolve, SPINNING_ENDS_MS));
        for (const { renderer, times, cpuTimes } of opened) {
          const motion = synthesizeMotion(turn / 30, 1);
          const cpuBefore = process.cpuUsage();
          const startedAtMs = performance.now();
          await renderer.render([{ avatar: ids[0]!, size, view: { yaw: 0, pitch: 0 }, motion }], {
            i420: true,
            rgb: false,
          });
          const elapsedMs = performance.now() - startedAtMs;
          const { user, system } = process.cpuUsage(cpuBefore);
          if (turn === 0) continue;
          times.push(elapsedMs);
          cpuTimes.push((user + system) / 1000);
        }
      }
      const of = ({ times, cpuTimes }: { times: number[]; cpuTimes: number[] }) => ({
        ms: Math.min(...times),
        cpuMs: cpuTimes.sort((a, b) => a - b)[cpuTimes.length >> 1]!,
      });
      const base = of(opened[0]!);
      for (const { renderer, name, ...times } of opened) {
        const { ms, cpuMs } = of(times);
        const row = {
          size,
          name,
          ms: round(ms),
          cpuMs: round(cpuMs),
          ratio: round(ms / base.ms),
          cpuRatio: round(cpuMs / base.cpuMs),
        };
        rows.push(row);
        console.log(JSON.stringify(row));
        await renderer.close();
      }
    }
    return { bench: 'render', ladder: true, model: engine.renderer.model, device: 'cpu', rows };
  } finally {
    await engine.close();
  }
}

function round(value: number): number {
  return Math.round(100 * value) / 100;
}
