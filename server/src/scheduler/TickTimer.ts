/** The passing of time, so that tests can hold it. Milliseconds. */
export interface Clock {
  now(): number;
  /** returns what cancels it */
  setTimer(callback: () => void, delayMs: number): () => void;
}

/** performance.now() and setTimeout */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimer(callback, delayMs) {
    const handle = setTimeout(callback, delayMs);
    return () => clearTimeout(handle);
  },
};

/**
 * Calls `onTick` at start + index / rate. Every delay is measured against the start, so that late timers do not add up;
 * ticks that were missed because the event loop was busy are skipped, not made up for.
 */
export class TickTimer {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #onTick: (index: number) => void;
  #startMs = 0;
  #index = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, ticksPerSecond: number, onTick: (index: number) => void) {
    this.#clock = clock;
    this.#intervalMs = 1000 / ticksPerSecond;
    this.#onTick = onTick;
  }

  /** The first tick (index 1) comes one interval later; a second call does nothing. */
  start(): void {
    if (this.#cancel) return;
    this.#startMs = this.#clock.now() - this.#index * this.#intervalMs;
    this.#schedule();
  }

  /** May be called twice. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #schedule(): void {
    const dueMs = this.#startMs + (this.#index + 1) * this.#intervalMs;
    this.#cancel = this.#clock.setTimer(() => this.#fire(), Math.max(0, dueMs - this.#clock.now()));
  }

  #fire(): void {
    const elapsed = Math.floor((this.#clock.now() - this.#startMs) / this.#intervalMs + 1e-6);
    // Timers may fire a fraction of a millisecond early: the index still moves on.
    this.#index = Math.max(this.#index + 1, elapsed);
    this.#schedule();
    this.#onTick(this.#index);
  }
}
