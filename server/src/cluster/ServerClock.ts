/** Clocks drift by some 0.1 ms a second, and routes change: the shortest way is believed a little less with time. */
const LEAK = 0.001;

/**
 * How far the clock of another server is behind this one's, as far as one-way messages tell: from those that were under
 * way for the shortest time. Too much by that time, which on a machine room's network is a fraction of a millisecond.
 */
export class ServerClock {
  #behindMs: number | undefined;
  #atMs = 0;

  /** A message came at `nowMs` of this clock that was sent at `sentAtMs` of the other. */
  handleArrival(sentAtMs: number, nowMs: number): void {
    const wayMs = nowMs - sentAtMs;
    this.#behindMs =
      this.#behindMs === undefined ? wayMs : Math.min(wayMs, this.#behindMs + LEAK * (nowMs - this.#atMs));
    this.#atMs = nowMs;
  }

  /** A 16-bit time of the other clock, as this clock counts it. */
  translate(timeMs: number): number {
    return (timeMs + Math.round(this.#behindMs ?? 0)) & 0xffff;
  }
}
