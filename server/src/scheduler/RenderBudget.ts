import type { BatchTime } from '../contracts.ts';
import { batchMs, chooseBatch } from './batchCost.ts';
import { RunTimes } from './RunTimes.ts';

/** Weight of the newest measurement. */
const SMOOTHING = 0.2;

export interface RenderBudgetOptions {
  /** batches are kept to what renders within this time */
  budgetMs: number;
  /** how long a batch may take where throughput gains enough from it; default budgetMs */
  longestMs?: number;
  maxBatch: number;
  /** the device's calibration; empty where there is none */
  batchTimes?: (size: number) => readonly BatchTime[];
}

/** What the runs of one size have cost. */
interface Cost {
  /** against what was measured at the start */
  scale: number;
  /** learnt where nothing was measured at the start */
  learnt: RunTimes;
}

interface Choice {
  times: readonly BatchTime[];
  scale: number;
  pictures: number;
}

/**
 * How many pictures of a size make a batch: what fits into the time of one frame, and no more than throughput gains
 * from. Larger batches would only show older motion: what does not fit is planned anew, with newer motion, when the
 * batch is done. Devices too slow for that follow the turn instead, see `chooseBatch`. Starts from the device's
 * calibration where there is one, and follows what renders take since.
 */
export class RenderBudget {
  readonly #options: Required<RenderBudgetOptions>;
  readonly #costs = new Map<number, Cost>();
  readonly #choices = new Map<number, Choice>();

  constructor(options: RenderBudgetOptions) {
    this.#options = { longestMs: options.budgetMs, batchTimes: () => NONE, ...options };
  }

  /** 1…maxBatch; maxBatch before anything is known */
  maxPictures(size: number): number {
    const times = this.#times(size);
    if (times.length === 0) return this.#options.maxBatch;
    return this.#choose(size, times, this.#scale(size));
  }

  measured(size: number, pictures: number, elapsedMs: number): void {
    let cost = this.#costs.get(size);
    const times = this.#options.batchTimes(size);
    const scale = times.length > 0 ? elapsedMs / batchMs(times, pictures) : 1;
    if (cost === undefined) {
      cost = { scale, learnt: new RunTimes(this.#options.maxBatch) };
      this.#costs.set(size, cost);
    }
    cost.scale += SMOOTHING * (scale - cost.scale);
    if (times.length === 0) cost.learnt.add(pictures, elapsedMs);
  }

  /** What a picture of this size costs in a full batch, ms; undefined before anything is known. */
  msPerPicture(size: number): number | undefined {
    const times = this.#times(size);
    if (times.length === 0) return undefined;
    const pictures = this.maxPictures(size);
    return (this.#scale(size) * batchMs(times, pictures)) / pictures;
  }

  #times(size: number): readonly BatchTime[] {
    const calibrated = this.#options.batchTimes(size);
    return calibrated.length > 0 ? calibrated : (this.#costs.get(size)?.learnt.batchTimes ?? NONE);
  }

  #scale(size: number): number {
    return this.#costs.get(size)?.scale ?? 1;
  }

  /** Worked out again only when times or scale have moved by a fiftieth: this is asked for at every plan. */
  #choose(size: number, times: readonly BatchTime[], scale: number): number {
    const last = this.#choices.get(size);
    if (last && isAbout(scale, last.scale) && sameTimes(times, last.times)) return last.pictures;
    // What was only learnt says too little to leave out pictures that fit.
    const unsure = this.#options.batchTimes(size).length === 0 && { worthWaiting: 0 };
    const pictures = chooseBatch({ ...this.#options, times, scale, ...unsure });
    this.#choices.set(size, { times, scale, pictures });
    return pictures;
  }
}

const NONE: readonly BatchTime[] = [];

function sameTimes(a: readonly BatchTime[], b: readonly BatchTime[]): boolean {
  return a === b || (a.length === b.length && a.every(({ ms }, index) => isAbout(ms, b[index]!.ms)));
}

function isAbout(a: number, b: number): boolean {
  return Math.abs(a / b - 1) < 0.02;
}
