import type { BatchTime } from '../contracts.ts';

/** A batch is made no larger for less than this share of throughput: what is in it waits for its last picture. */
const WORTH_WAITING = 0.05;

/** Beyond the budget a run that takes 10 % longer must bring 4 % more pictures per second. */
const GAIN_FOR_LENGTH = 0.4;

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
  /** as runs take now */
  times: readonly BatchTime[];
  budgetMs: number;
  /** how long a run may take that gains enough by it; default budgetMs */
  longestMs?: number;
  maxBatch: number;
  /** share of throughput for less than which a batch is made no larger within the budget; default 5 % */
  worthWaiting?: number;
}

/**
 * The number of pictures of a full batch: the smallest whose throughput is within 5 % of the best that the budget
 * allows, 1 also when even that exceeds the budget. Where a large part of any run is there once for the whole batch, as
 * on slow devices, larger ones follow as long as throughput gains from them, up to `longestMs`. 1…maxBatch.
 */
export function chooseBatch(choice: BatchChoice): number {
  const { times, budgetMs, longestMs = budgetMs, maxBatch, worthWaiting = WORTH_WAITING } = choice;
  const rates: number[] = [];
  for (let pictures = 1; pictures <= maxBatch; pictures++) {
    const ms = batchMs(times, pictures);
    if (ms > budgetMs) break;
    rates.push(pictures / ms);
  }
  const best = Math.max(...rates);
  const index = rates.findIndex((rate) => rate >= best * (1 - worthWaiting));
  const within = Math.max(1, index + 1);
  return lengthen(within, (pictures) => batchMs(times, pictures), longestMs, maxBatch);
}

function lengthen(from: number, msOf: (pictures: number) => number, longestMs: number, maxBatch: number): number {
  let [chosen, chosenMs] = [from, msOf(from)];
  for (let pictures = from + 1; pictures <= maxBatch; pictures++) {
    const ms = msOf(pictures);
    if (ms > longestMs) break;
    const gain = (pictures * chosenMs) / (chosen * ms) - 1;
    if (gain >= GAIN_FOR_LENGTH * (ms / chosenMs - 1)) [chosen, chosenMs] = [pictures, ms];
  }
  return chosen;
}
