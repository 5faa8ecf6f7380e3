/** Pings follow the start at these times, ms, so that the clocks agree soon, and then regularly. */
const FIRST_PINGS_MS = [0, 100, 250, 500, 1_000];
const PING_INTERVAL_MS = 2_000;
/** So many regular pings in a row without any sign of life: the connection is dead although nobody closed it. */
const UNANSWERED_PINGS = 4;

export interface HeartbeatHandlers {
  ping(): void;
  /** nothing was heard for about ten seconds; the heartbeat has stopped */
  handleSilence(): void;
}

/**
 * Pings the server and notices when it is gone. Timers of a page that slept come late, but never twice: so silence is
 * counted in pings, not in ms.
 */
export class Heartbeat {
  readonly #handlers: HeartbeatHandlers;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #unanswered = 0;

  constructor(handlers: HeartbeatHandlers) {
    this.#handlers = handlers;
  }

  start(): void {
    this.stop();
    this.#unanswered = 0;
    for (const delayMs of FIRST_PINGS_MS) this.#later(delayMs, () => this.#handlers.ping());
    this.#later(PING_INTERVAL_MS, () => this.#beat());
  }

  /** May be called twice. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  /** Something came from the server. */
  handleSign(): void {
    this.#unanswered = 0;
  }

  #beat(): void {
    if (++this.#unanswered > UNANSWERED_PINGS) {
      this.stop();
      this.#handlers.handleSilence();
      return;
    }
    this.#handlers.ping();
    this.#later(PING_INTERVAL_MS, () => this.#beat());
  }

  #later(delayMs: number, task: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      task();
    }, delayMs);
    this.#timers.add(timer);
  }
}
