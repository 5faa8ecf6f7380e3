/** Failing for so long is more than a hiccup: a standby is open by then, and a device that was slow answers again. */
const LASTING_MS = 3000;
/** Well over the longest pause after which a failing device is asked again. */
const RECENT_MS = 10_000;

/** Whether the device has drawn nothing for some seconds, although it was asked to. */
export class DeviceHealth {
  #failingSinceMs: number | undefined;
  #failedAtMs = Number.NEGATIVE_INFINITY;

  drew(): void {
    this.#failingSinceMs = undefined;
  }

  failed(nowMs: number): void {
    this.#failingSinceMs ??= nowMs;
    this.#failedAtMs = nowMs;
  }

  /** False again when it was not asked lately: only a viewer's picture tells whether it has recovered. */
  isFailing(nowMs: number): boolean {
    if (this.#failingSinceMs === undefined) return false;
    return this.#failedAtMs - this.#failingSinceMs >= LASTING_MS && nowMs - this.#failedAtMs < RECENT_MS;
  }
}
