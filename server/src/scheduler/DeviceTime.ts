/** The renders that a device has under way at once. */
export interface Lanes {
  /** most of them, 1 or more */
  count: number;
  /** each has a processor of its own, as on the CPU; otherwise they share one, and each waits for those before it */
  apart: boolean;
}

export interface RunCost {
  /** what a run takes when it need not wait for others, ms: batches are made by it */
  runMs: number;
  /** for how long it kept all of the device busy, ms */
  busyMs: number;
}

/** What a device's runs cost, from when they began and ended. */
export class DeviceTime {
  #lastEndMs = Number.NEGATIVE_INFINITY;

  /** A run has ended, the last of all so far. */
  ended(startMs: number, endMs: number, { count, apart }: Lanes): RunCost {
    const elapsedMs = endMs - startMs;
    // Of two that share the device the second waits for the first: what it cost begins when the first was done.
    const ownMs = endMs - Math.max(startMs, this.#lastEndMs);
    this.#lastEndMs = endMs;
    return apart ? { runMs: elapsedMs, busyMs: elapsedMs / count } : { runMs: ownMs, busyMs: ownMs };
  }
}
