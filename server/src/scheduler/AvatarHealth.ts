const MAX_PAUSE_MS = 5000;

interface Trouble {
  failures: number;
  retryAtMs: number;
}

/** Avatars that failed to render: each is tried again alone, first at the next tick, then ever more rarely. */
export class AvatarHealth {
  readonly #tickMs: number;
  readonly #troubles = new Map<string, Trouble>();

  constructor(tickMs: number) {
    this.#tickMs = tickMs;
  }

  retryAtMs(avatar: string): number | undefined {
    return this.#troubles.get(avatar)?.retryAtMs;
  }

  /** Returns the number of failures in a row. */
  failed(avatar: string, nowMs: number): number {
    const failures = (this.#troubles.get(avatar)?.failures ?? 0) + 1;
    const pauseMs = Math.min(MAX_PAUSE_MS, this.#tickMs * 2 ** (failures - 1));
    this.#troubles.set(avatar, { failures, retryAtMs: nowMs + pauseMs });
    return failures;
  }

  succeeded(avatar: string): void {
    this.#troubles.delete(avatar);
  }
}
