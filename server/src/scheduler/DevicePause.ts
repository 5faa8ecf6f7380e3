const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 2000;

/** A device that fails pauses everybody, and is asked again after a pause that doubles with every failure. */
export class DevicePause {
  #pauseMs = 0;
  #untilMs = Number.NEGATIVE_INFINITY;

  isOver(nowMs: number): boolean {
    return nowMs >= this.#untilMs;
  }

  /** Returns whether it worked before. */
  failed(nowMs: number): boolean {
    const worked = this.#pauseMs === 0;
    this.#pauseMs = worked ? FIRST_PAUSE_MS : Math.min(LAST_PAUSE_MS, 2 * this.#pauseMs);
    this.#untilMs = nowMs + this.#pauseMs;
    return worked;
  }

  succeeded(): void {
    this.#pauseMs = 0;
  }
}
