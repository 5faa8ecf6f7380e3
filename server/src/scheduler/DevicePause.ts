const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 2000;

/**
 * A device that fails pauses everybody, and is asked again after a pause that doubles with every failure. Of the batches
 * in flight when it fails each fails by itself: that is one failure.
 */
export class DevicePause {
  #pauseMs = 0;
  #setAtMs = Number.NEGATIVE_INFINITY;
  #untilMs = Number.NEGATIVE_INFINITY;

  isOver(nowMs: number): boolean {
    return nowMs >= this.#untilMs;
  }

  /** Of a batch that began at `begunMs`. Returns whether the device worked until now. */
  failed(begunMs: number, nowMs: number): boolean {
    // Nothing is begun during a pause: this batch was in flight when another told of the same failure.
    if (begunMs <= this.#setAtMs) return false;
    const worked = this.#pauseMs === 0;
    this.#pauseMs = worked ? FIRST_PAUSE_MS : Math.min(LAST_PAUSE_MS, 2 * this.#pauseMs);
    this.#setAtMs = nowMs;
    this.#untilMs = nowMs + this.#pauseMs;
    return worked;
  }

  succeeded(): void {
    this.#pauseMs = 0;
  }
}
