const FIRST_PAUSE_MS = 1000;
const LAST_PAUSE_MS = 60_000;

interface Failed {
  pauseMs: number;
  retryAtMs: number;
  probing: boolean;
  tries: number;
}

/** When failed devices are tried again: after a pause that doubles with every failure, one try at a time. */
export class DeviceReturn {
  readonly #now: () => number;
  readonly #failed = new Map<number, Failed>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @param grow false: the try said nothing, the next one comes after the same pause */
  failed(device: number, grow = true): void {
    const last = this.#failed.get(device);
    const grown = last ? Math.min(LAST_PAUSE_MS, 2 * last.pauseMs) : FIRST_PAUSE_MS;
    const pauseMs = last && !grow ? last.pauseMs : grown;
    this.#failed.set(device, { pauseMs, retryAtMs: this.#now() + pauseMs, probing: false, tries: last?.tries ?? 0 });
  }

  returned(device: number): void {
    this.#failed.delete(device);
  }

  /** The devices to try now, and for which time; each is not told again before failed() or returned(). */
  takeDue(): { device: number; tries: number }[] {
    const due: { device: number; tries: number }[] = [];
    for (const [device, state] of this.#failed) {
      if (state.probing || this.#now() < state.retryAtMs) continue;
      state.probing = true;
      state.tries++;
      due.push({ device, tries: state.tries });
    }
    return due;
  }
}
