import type { Lanes } from './DeviceTime.ts';

/** A batch counts as gone so long after its pictures were drawn: one encoder that hangs must not hold everybody. */
const GIVEN_UP_MS = 100;

interface Batch {
  encodesLeft: number;
  drawnAtMs: number | undefined;
}

/**
 * Batches on their way from the plan to the last of their encodes. One is encoded while the next is drawn; another would
 * only wait for the encoders, and show older motion when they come to it: so it is not begun, and planned later with
 * newer motion. When encoders are the limit frame rates fall, not freshness.
 */
export class Pipeline {
  readonly #batches = new Set<Batch>();

  /** @param rendersInFlight batches that may be drawn at once */
  hasRoom(rendersInFlight: number, nowMs: number): boolean {
    let drawing = 0;
    let encoding = 0;
    for (const { drawnAtMs } of this.#batches) {
      if (drawnAtMs === undefined) drawing++;
      else if (nowMs - drawnAtMs < GIVEN_UP_MS) encoding++;
    }
    return drawing < rendersInFlight && drawing + encoding <= rendersInFlight;
  }

  /**
   * Over how many lanes the pictures that are due are spread: those that draw nothing now, where each has a processor of
   * its own. Lanes that share one gain nothing by it.
   */
  lanesFor({ count, apart }: Lanes): number {
    if (!apart) return 1;
    let drawing = 0;
    for (const { drawnAtMs } of this.#batches) if (drawnAtMs === undefined) drawing++;
    return Math.max(1, count - drawing);
  }

  /** Returns what to call when the batch is drawn, and when one of its encodes has come to an end. */
  begin(encodes: number): { drawn: (nowMs: number) => void; encoded: () => void } {
    const batch: Batch = { encodesLeft: encodes, drawnAtMs: undefined };
    this.#batches.add(batch);
    const leave = () => {
      if (batch.drawnAtMs !== undefined && batch.encodesLeft <= 0) this.#batches.delete(batch);
    };
    return {
      drawn: (nowMs) => {
        batch.drawnAtMs = nowMs;
        leave();
      },
      encoded: () => {
        batch.encodesLeft--;
        leave();
      },
    };
  }
}
