import type { BatchTime } from '../contracts.ts';
import { batchMs, chooseBatch } from './batchCost.ts';
import type { Lanes } from './DeviceTime.ts';
import { guessedShape, RunTimes } from './RunTimes.ts';

export interface RenderBudgetOptions {
  /** batches are kept to what renders within this time */
  budgetMs: number;
  /** how long a batch may take where throughput gains enough from it; default budgetMs */
  longestMs?: number;
  /** default one; where they share the device a picture waits for the runs before its own, so these share longestMs */
  lanes?: () => Lanes;
  maxBatch: number;
  /** the device's calibration; empty where there is none (yet) */
  batchTimes?: (size: number) => readonly BatchTime[];
}

/** What runs of one size take, by a calibration or without one. */
interface Known {
  calibration: readonly BatchTime[];
  runs: RunTimes;
  choice: { times: readonly BatchTime[]; pictures: number } | undefined;
}

/**
 * How many pictures of a size make a batch: what fits into the time of one frame, and no more than throughput gains
 * from. Larger batches would only show older motion: what does not fit is planned anew, with newer motion, when the
 * batch is done. Devices too slow for that follow the turn instead, see `chooseBatch`. Starts from the device's
 * calibration where there is one, and follows what renders take since.
 */
export class RenderBudget {
  readonly #options: Required<RenderBudgetOptions>;
  readonly #known = new Map<number, Known>();

  constructor(options: RenderBudgetOptions) {
    this.#options = { longestMs: options.budgetMs, lanes: () => ONE_LANE, batchTimes: () => [], ...options };
  }

  /**
   * 1…maxBatch. Before anything is known maxBatch, but 1 where lanes have a processor each: there large batches gain little,
   * and as many as there are lanes would take memory that their host then keeps.
   */
  maxPictures(size: number): number {
    const known = this.#of(size);
    if (!isUnknown(known)) return this.#choose(known);
    return this.#options.lanes().apart ? 1 : this.#options.maxBatch;
  }

  measured(size: number, pictures: number, elapsedMs: number): void {
    this.#of(size).runs.add(pictures, elapsedMs);
  }

  /** What a picture of this size costs in a full batch, ms; undefined before anything is known. */
  msPerPicture(size: number): number | undefined {
    const known = this.#of(size);
    if (isUnknown(known)) return undefined;
    const pictures = this.#choose(known);
    return batchMs(known.runs.batchTimes, pictures) / pictures;
  }

  #of(size: number): Known {
    const calibration = this.#options.batchTimes(size);
    let known = this.#known.get(size);
    if (!known || !areAlike(known.calibration, calibration)) {
      const shape = calibration.length > 0 ? calibration : guessedShape(this.#options.maxBatch);
      known = { calibration, runs: new RunTimes(shape), choice: undefined };
      this.#known.set(size, known);
    }
    return known;
  }

  /** Worked out again only when a time has moved by a fiftieth: this is asked for at every plan. */
  #choose(known: Known): number {
    const times = known.runs.batchTimes;
    if (known.choice && areAlike(times, known.choice.times, 0.02)) return known.choice.pictures;
    // A guess says too little to leave out pictures that fit.
    const unsure = known.calibration.length === 0 && { worthWaiting: 0 };
    const { budgetMs, lanes } = this.#options;
    const { count, apart } = lanes();
    const longestMs = Math.max(budgetMs, this.#options.longestMs / (apart ? 1 : count));
    known.choice = { times, pictures: chooseBatch({ ...this.#options, times, longestMs, ...unsure }) };
    return known.choice.pictures;
  }
}

const ONE_LANE: Lanes = { count: 1, apart: false };

function isUnknown({ calibration, runs }: Known): boolean {
  return calibration.length === 0 && runs.runs === 0;
}

function areAlike(a: readonly BatchTime[], b: readonly BatchTime[], tolerance = 0): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every(({ ms }, index) => Math.abs(ms / b[index]!.ms - 1) <= tolerance);
}
