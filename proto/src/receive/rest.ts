/** After this long without a packet a face begins to rest: its sender is gone or stuck. */
export const IDLE_AFTER_MS = 2000;
/** How long it takes to come to rest. */
export const EASE_MS = 1000;

/** How far a face is on its way to rest: 0 as received, 1 neutral. */
export function restAt(arrivedMs: number, nowMs: number): number {
  const t = Math.min(1, Math.max(0, (nowMs - arrivedMs - IDLE_AFTER_MS) / EASE_MS));
  return t * t * (3 - 2 * t);
}
