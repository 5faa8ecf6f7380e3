import type { BatchTime } from '../contracts.ts';

/** What calibration found out about a device with a model. */
export interface Calibration {
  /** by size, ascending by pictures */
  batchTimes: Record<string, BatchTime[]>;
  /** time of two runs under way at once over that of the two one after the other; undefined: not measured */
  overlap?: number;
  /** on the CPU: how many runs at once, each with its share of the threads, were fastest */
  lanes?: number;
  /** on the CPU: of how many runs at once that was found; absent: of one and two */
  comparedLanes?: number[];
}

export interface CalibrationResult extends Calibration {
  /** median of how much longer than its fastest run a run took; far above 1 the machine had other work */
  spread: number;
}

export interface CalibrateOptions {
  sizes: readonly number[];
  maxBatch: number;
  /** so many runs at once, 1 or 2, of so many pictures each */
  run: (size: number, pictures: number, atOnce: number) => Promise<void>;
  /** resolves when the device is free for a measurement; false ends the calibration */
  mayGoOn: () => Promise<boolean>;
  /** a run that is expected to take longer is not measured: it would keep players waiting */
  longestRunMs: number;
  /** also measure two runs at once; default true */
  overlapping?: boolean;
  now?: () => number;
}

/** Of at least and at most so many timed runs the fastest counts: others share the machine. */
const LEAST_REPEATS = 2;
const MOST_REPEATS = 6;
/** Runs of one kind are repeated no longer than this, ms. */
const REPEAT_MS = 150;
/** A single picture that takes so many times `longestRunMs` is timed once. */
const SLOW = 4;
/** Times that spread further are those of other programs: they are not kept for the next start. */
const TRUSTED_SPREAD = 1.3;

/** 1, 2, 4, … and maxBatch itself */
export function calibrationBatches(maxBatch: number): number[] {
  const batches: number[] = [];
  for (let pictures = 1; pictures < maxBatch; pictures *= 2) batches.push(pictures);
  return [...batches, maxBatch];
}

/**
 * Times runs of 1, 2, 4, … pictures of each size, after one that warms up, the smallest size first. A device that takes
 * seconds for a single picture is asked for one timed run and no larger size. Undefined when it was ended before the first
 * size was through.
 */
export async function calibrate(options: CalibrateOptions): Promise<CalibrationResult | undefined> {
  const { sizes, maxBatch, run, mayGoOn, longestRunMs, overlapping = true, now = () => performance.now() } = options;
  /** after one run to warm up; undefined when the calibration was ended */
  const timed = async (size: number, pictures: number, atOnce: number): Promise<number | undefined> => {
    if (!(await mayGoOn())) return undefined;
    await run(size, pictures, atOnce);
    const times: number[] = [];
    let sumMs = 0;
    while (times.length < LEAST_REPEATS || (times.length < MOST_REPEATS && sumMs < REPEAT_MS)) {
      if (sumMs > SLOW * longestRunMs) break;
      if (!(await mayGoOn())) return undefined;
      const startedAtMs = now();
      await run(size, pictures, atOnce);
      times.push(now() - startedAtMs);
      sumMs += times.at(-1)!;
    }
    times.sort((a, b) => a - b);
    spreads.push(times[times.length >> 1]! / times[0]!);
    return times[0];
  };
  const spreads: number[] = [];
  const batchTimes: Record<string, BatchTime[]> = {};
  let overlap: number | undefined;
  for (const size of sizes) {
    if (slowest(batchTimes) > SLOW * longestRunMs) break;
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
    if (overlapping && overlap === undefined && largest.ms * 2 <= longestRunMs) {
      const both = await timed(size, largest.pictures, 2);
      if (both === undefined) return undefined;
      overlap = both / (2 * largest.ms);
    }
  }
  const spread = spreads.sort((a, b) => a - b)[spreads.length >> 1]!;
  return { batchTimes, ...(overlap !== undefined && { overlap }), spread };
}

/** Longest time of a single picture, of the sizes that were measured; ms. */
function slowest(batchTimes: Calibration['batchTimes']): number {
  return Math.max(0, ...Object.values(batchTimes).map(([single]) => single!.ms));
}

/**
 * What of a measurement to believe: on a busy machine not how two runs overlap, as two get a larger share of it than
 * one. `keep`: whether it may serve the next start too.
 */
export function trusted({ batchTimes, overlap, spread }: CalibrationResult): {
  calibration: Calibration;
  keep: boolean;
} {
  const keep = spread <= TRUSTED_SPREAD;
  return { calibration: { batchTimes, ...(keep && overlap !== undefined && { overlap }) }, keep };
}

/**
 * How many runs to keep in flight. A GPU computes while the last run's frames are still on their way up and the next
 * one's inputs on their way down, so there two are the rule until a measurement says otherwise. Over WebGPU one is the rule.
 * For the CPU see threadings().
 */
export function lanesFor(kind: 'cuda' | 'webgpu', overlap: number | undefined): number {
  if (overlap === undefined) return kind === 'cuda' ? 2 : 1;
  return overlap < 1 ? 2 : 1;
}
