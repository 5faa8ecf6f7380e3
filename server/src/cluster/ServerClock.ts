/** Clocks drift by some 0.1 ms a second, and routes change: the shortest way is believed a little less with time. */
const LEAK = 0.001;
/** When every message of so long is later than that, the other clock stood still: a machine that was paused. ms */
const LATE_MS = 500;
const LATE_FOR_MS = 2000;

/**
 * How far the clock of another server is behind this one's, as far as one-way messages tell: from those that were under
 * way for the shortest time. Too much by that time, which on a machine room's network is a fraction of a millisecond.
 */
export class ServerClock {
  #behindMs: number | undefined;
  #atMs = 0;
  /** since when all messages have been late; undefined: the last was not */
  #lateSinceMs: number | undefined;

  /** A message came at `nowMs` of this clock that was sent at `sentAtMs` of the other. */
  handleArrival(sentAtMs: number, nowMs: number): void {
    const wayMs = nowMs - sentAtMs;
    const shortestMs = (this.#behindMs ?? wayMs) + LEAK * (nowMs - (this.#behindMs === undefined ? nowMs : this.#atMs));
    this.#lateSinceMs = wayMs > shortestMs + LATE_MS ? (this.#lateSinceMs ?? nowMs) : undefined;
    const stoodStill = this.#lateSinceMs !== undefined && nowMs - this.#lateSinceMs >= LATE_FOR_MS;
    if (stoodStill) this.#lateSinceMs = undefined;
    this.#behindMs = stoodStill ? wayMs : Math.min(wayMs, shortestMs);
    this.#atMs = nowMs;
  }

  /** A 16-bit time of the other clock, as this clock counts it. */
  translate(timeMs: number): number {
    return (timeMs + Math.round(this.#behindMs ?? 0)) & 0xffff;
  }
}
