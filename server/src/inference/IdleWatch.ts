import { setTimeout as pause } from 'node:timers/promises';

/** Knows since when nothing was drawn for anybody. */
export class IdleWatch {
  #drawing = 0;
  #lastDrawnMs = performance.now();

  begin(): void {
    this.#drawing++;
  }

  end(): void {
    this.#drawing--;
    this.#lastDrawnMs = performance.now();
  }

  /** Waits until nothing was drawn for so long; false when the signal was aborted. */
  async untilQuiet(quietMs: number, signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      const waitMs = this.#drawing > 0 ? quietMs : this.#lastDrawnMs + quietMs - performance.now();
      if (waitMs <= 0) return true;
      // Keeps no process alive.
      await pause(waitMs, undefined, { ref: false, signal }).catch(() => undefined);
    }
    return false;
  }
}
