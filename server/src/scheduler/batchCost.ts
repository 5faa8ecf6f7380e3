import type { BatchTime } from '../contracts.ts';

/** A batch is made no larger for less than this share of throughput: what is in it waits for its last picture. */
const WORTH_WAITING = 0.05;

/**
 * The time of a run of `pictures`: straight lines between the measured sizes, beyond the last on with its slope. Other
 * work on the machine only ever adds to a measurement, so a run counts as no slower than any larger one was.
 *
 * @param times ascending by pictures, at least one
 */
export function batchMs(times: readonly BatchTime[], pictures: number): number {
  let lower: BatchTime = { pictures: 0, ms: 0 };
  let slope = 0;
  for (const [index, time] of times.entries()) {
    let ms = time.ms;
    for (let larger = index + 1; larger < times.length; larger++) ms = Math.min(ms, times[larger]!.ms);
    // Of a single picture part is the cost of any run: nothing is known about less.
    if (pictures <= time.pictures && index === 0) return ms;
    slope = (ms - lower.ms) / (time.pictures - lower.pictures);
    if (pictures <= time.pictures) break;
    lower = { pictures: time.pictures, ms };
  }
  return lower.ms + slope * (pictures - lower.pictures);
}

export interface BatchChoice {
  /** as measured */
  times: readonly BatchTime[];
  /** how much slower than measured runs are now; 1 as measured */
  scale: number;
  budgetMs: number;
  maxBatch: number;
}

/**
 * The number of pictures of a full batch: the smallest whose throughput is within 5 % of the best that the budget
 * allows. 1…maxBatch, 1 also when even that exceeds the budget.
 */
export function chooseBatch({ times, scale, budgetMs, maxBatch }: BatchChoice): number {
  const rates: number[] = [];
  for (let pictures = 1; pictures <= maxBatch; pictures++) {
    const ms = scale * batchMs(times, pictures);
    if (ms > budgetMs) break;
    rates.push(pictures / ms);
  }
  const best = Math.max(...rates);
  const index = rates.findIndex((rate) => rate >= best * (1 - WORTH_WAITING));
  return Math.max(1, index + 1);
}
