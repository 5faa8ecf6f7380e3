import type { DeviceKind } from './Device.ts';

/** How many runs are under way at once, and how many threads each of them has. */
export interface Threading {
  lanes: number;
  threads: number;
}

/**
 * The ways to use a device's threads that are worth a measurement, the usual one first, each with fewer runs than the one
 * before. A renderer is thousands of small operators, over which many threads gain little: on the CPU as many runs as
 * there are threads, with one each, are the rule. A GPU has its own way (lanesFor).
 */
export function threadings(kind: DeviceKind, threads: number): readonly Threading[] {
  if (kind !== 'cpu') return [{ lanes: kind === 'cuda' ? 2 : 1, threads }];
  const byLanes = new Map<number, Threading>();
  for (const each of [1, 2, Math.ceil(threads / 2), threads]) {
    const lanes = Math.ceil(threads / each);
    if (!byLanes.has(lanes)) byLanes.set(lanes, { lanes, threads: each });
  }
  return [...byLanes.values()];
}

/** Another way must be faster by so much; less is noise. */
const WORTH_CHANGING = 1.05;
const ROUNDS = 6;

/** How the ways are tried out. */
export interface ThreadingTrial {
  /** gets a way ready to run */
  open: (way: Threading) => Promise<void>;
  /** `lanes` batches at once, of equal size, in that way */
  run: (way: Threading) => Promise<void>;
  /** of two that were compared the slower */
  close: (way: Threading) => Promise<void>;
}

/**
 * The way that draws most pictures, or undefined when the measurement was ended. It begins with the first and goes on to
 * the next, fewer runs of more threads, as long as that is the faster: each way tried takes time and memory.
 */
export async function fastestThreading(
  ways: readonly Threading[],
  trial: ThreadingTrial,
  mayGoOn: () => Promise<boolean>,
  now: () => number = () => performance.now(),
): Promise<Threading | undefined> {
  let best = ways[0]!;
  await trial.open(best);
  for (const way of ways.slice(1)) {
    if (!(await mayGoOn())) return undefined;
    await trial.open(way);
    const [bestMs, ms] = await fastestMs([best, way], trial, mayGoOn, now);
    if (bestMs === undefined || ms === undefined) return undefined;
    const isFaster = bestMs > WORTH_CHANGING * ms;
    await trial.close(isFaster ? best : way);
    if (!isFaster) break;
    best = way;
  }
  return best;
}

/**
 * What a batch takes in each way, ms; nothing when the measurement was ended. Runs take turns and the fastest of each counts,
 * since other programs come and go.
 */
async function fastestMs(
  ways: readonly Threading[],
  { run }: ThreadingTrial,
  mayGoOn: () => Promise<boolean>,
  now: () => number,
): Promise<readonly number[]> {
  const best = ways.map(() => Number.POSITIVE_INFINITY);
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [index, way] of ways.entries()) {
      if (!(await mayGoOn())) return [];
      const startedAtMs = now();
      await run(way);
      if (round > 0) best[index] = Math.min(best[index]!, (now() - startedAtMs) / way.lanes);
    }
  }
  return best;
}
