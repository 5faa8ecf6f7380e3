import type { BatchTime } from '../contracts.ts';
import { batchMs, chooseBatch } from './batchCost.ts';

/** Weight of the newest measurement. */
const SMOOTHING = 0.2;

/** What the runs of one size have cost. */
interface Cost {
  msPerPicture: number;
  /** against what was measured at the start */
  scale: number;
}

/**
 * How many pictures of a size make a batch: what fits into the time of one frame, and no more than throughput gains
 * from. Larger batches would only show older motion: what does not fit is planned anew, with newer motion, when the
 * batch is done. Starts from the device's calibration where there is one, and follows what renders take since.
 */
export class RenderBudget {
  readonly #budgetMs: number;
  readonly #maxBatch: number;
  readonly #batchTimes: (size: number) => readonly BatchTime[];
  readonly #costs = new Map<number, Cost>();
  #choices = new Map<number, { times: readonly BatchTime[]; scale: number; pictures: number }>();

  constructor(budgetMs: number, maxBatch: number, batchTimes: (size: number) => readonly BatchTime[] = () => []) {
    this.#budgetMs = budgetMs;
    this.#maxBatch = maxBatch;
    this.#batchTimes = batchTimes;
  }

  /** 1…maxBatch */
  maxPictures(size: number): number {
    const times = this.#batchTimes(size);
    const cost = this.#costs.get(size);
    if (times.length > 0) return this.#choose(size, times, cost?.scale ?? 1);
    if (cost === undefined || cost.msPerPicture <= 0) return this.#maxBatch;
    return Math.max(1, Math.min(this.#maxBatch, Math.floor(this.#budgetMs / cost.msPerPicture)));
  }

  measured(size: number, pictures: number, elapsedMs: number): void {
    const times = this.#batchTimes(size);
    const msPerPicture = elapsedMs / pictures;
    const scale = times.length > 0 ? elapsedMs / batchMs(times, pictures) : 1;
    const known = this.#costs.get(size);
    if (known === undefined) {
      this.#costs.set(size, { msPerPicture, scale });
      return;
    }
    known.msPerPicture += SMOOTHING * (msPerPicture - known.msPerPicture);
    known.scale += SMOOTHING * (scale - known.scale);
  }

  /** What a picture of this size costs in a full batch, ms; undefined before anything was measured. */
  msPerPicture(size: number): number | undefined {
    const times = this.#batchTimes(size);
    const cost = this.#costs.get(size);
    if (times.length === 0) return cost?.msPerPicture;
    const pictures = this.maxPictures(size);
    return ((cost?.scale ?? 1) * batchMs(times, pictures)) / pictures;
  }

  /** Worked out again only when the scale has moved by a fiftieth: this is asked for at every plan. */
  #choose(size: number, times: readonly BatchTime[], scale: number): number {
    const last = this.#choices.get(size);
    if (last && last.times === times && Math.abs(scale / last.scale - 1) < 0.02) return last.pictures;
    const pictures = chooseBatch({ times, scale, budgetMs: this.#budgetMs, maxBatch: this.#maxBatch });
    this.#choices.set(size, { times, scale, pictures });
    return pictures;
  }
}
