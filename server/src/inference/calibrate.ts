import type { BatchTime } from '../contracts.ts';

/** What calibration found out about a device with a model. */
export interface Calibration {
  /** by size, ascending by pictures */
  batchTimes: Record<string, BatchTime[]>;
  /** time of two runs under way at once over that of the two one after the other; undefined: not measured */
  overlap?: number;
}

export interface CalibrateOptions {
  sizes: readonly number[];
  maxBatch: number;
  /** so many runs at once, 1 or 2, of so many pictures each */
  run: (size: number, pictures: number, atOnce: number) => Promise<void>;
  /** resolves when the device is free for a measurement; false ends the calibration */
  mayGoOn: () => Promise<boolean>;
  /** a batch that is expected to take longer is not measured: it would keep players waiting */
  longestRunMs: number;
  now?: () => number;
}

/** Of so many timed runs the fastest counts: others share the machine. */
const REPEATS = 2;

/** 1, 2, 4, … and maxBatch itself */
export function calibrationBatches(maxBatch: number): number[] {
  const batches: number[] = [];
  for (let pictures = 1; pictures < maxBatch; pictures *= 2) batches.push(pictures);
  return [...batches, maxBatch];
}

/**
 * Times runs of 1, 2, 4, … pictures of each size, after one that warms up, the smallest size first. Undefined when it
 * was ended before the first size was through.
 */
export async function calibrate(options: CalibrateOptions): Promise<Calibration | undefined> {
  const { sizes, maxBatch, run, mayGoOn, longestRunMs, now = () => performance.now() } = options;
  /** after one run to warm up; undefined when the calibration was ended */
  const timed = async (size: number, pictures: number, atOnce: number): Promise<number | undefined> => {
    if (!(await mayGoOn())) return undefined;
    await run(size, pictures, atOnce);
    let fastest: number | undefined;
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      if (!(await mayGoOn())) return undefined;
      const startedAtMs = now();
      await run(size, pictures, atOnce);
      fastest = Math.min(fastest ?? Number.POSITIVE_INFINITY, now() - startedAtMs);
    }
    return fastest;
  };
  const batchTimes: Record<string, BatchTime[]> = {};
  let overlap: number | undefined;
  for (const size of sizes) {
    const times: BatchTime[] = [];
    for (const pictures of calibrationBatches(maxBatch)) {
      const last = times.at(-1);
      // The new batch may cost in proportion.
      if (last && (last.ms * pictures) / last.pictures > longestRunMs) break;
      const ms = await timed(size, pictures, 1);
      if (ms === undefined) return undefined;
      times.push({ pictures, ms });
    }
    batchTimes[size] = times;
    const largest = times.at(-1)!;
    if (overlap === undefined && largest.ms * 2 <= longestRunMs) {
      const both = await timed(size, largest.pictures, 2);
      if (both === undefined) return undefined;
      overlap = both / (2 * largest.ms);
    }
  }
  return { batchTimes, ...(overlap !== undefined && { overlap }) };
}

/** Two runs at once must save so much of their time; less is noise. */
const WORTH_OVERLAP = 0.9;

/**
 * How many runs to keep in flight. A GPU computes while the last run's frames are still on their way up and the next
 * one's inputs on their way down, so there two are the rule until a measurement says otherwise; the CPU has nothing to
 * hide, as every run already uses all threads: there one is the rule.
 */
export function lanesFor(kind: 'cpu' | 'cuda' | 'webgpu', overlap: number | undefined): number {
  if (overlap === undefined) return kind === 'cuda' ? 2 : 1;
  return overlap < (kind === 'cpu' ? WORTH_OVERLAP : 1) ? 2 : 1;
}
