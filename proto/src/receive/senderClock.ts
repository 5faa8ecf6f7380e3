import { wrappedDifference } from '../motion/Motion.ts';

/** What the arrivals so far tell about a sender's clock and the way of its packets. Immutable. */
export interface SenderClock {
  /** the newest packet's time on the sender's clock, unwrapped */
  readonly sentMs: number;
  /** the receiver's clock when it came */
  readonly arrivedMs: number;
  /** arrivedMs − sentMs of the fastest packets lately: the clocks need not agree */
  readonly shortestMs: number;
  /** between packets, mean */
  readonly intervalMs: number;
  /** how much longer than the fastest packets take, mean */
  readonly jitterMs: number;
  /** between the newest packet and the one before, > 0 */
  readonly stepMs: number;
}

/** clocks drift and routes change: the shortest way is believed a little less with time */
const SHORTEST_LEAK = 0.006;
/** means follow with this share for each packet */
const SHARE = 0.1;
/** a longer pause says nothing about the rate */
const LONGEST_INTERVAL_MS = 250;
/** of a later packet than this nobody waits for */
const LONGEST_JITTER_MS = 100;
/** a sender's clock that is off by more from what the receiver's says has jumped */
const JUMP_MS = 1000;
const FIRST_INTERVAL_MS = 1000 / 30;

export function firstArrival(timeMs: number, nowMs: number): SenderClock {
  const shortestMs = nowMs - timeMs;
  return { sentMs: timeMs, arrivedMs: nowMs, shortestMs, intervalMs: FIRST_INTERVAL_MS, jitterMs: 0, stepMs: 1 };
}

/**
 * Takes the next packet's time in. A clock that stands still or jumps is not believed: then the arrivals themselves are
 * the times (a client that sends 0 for ever is shown, too).
 */
export function nextArrival(before: SenderClock, timeMs: number, nowMs: number): SenderClock {
  const passedMs = Math.max(0, nowMs - before.arrivedMs);
  // after a silence the 16 bits may have wrapped more than once: the receiver's clock says how often
  const expected = Math.round(before.sentMs + passedMs);
  const sentMs = expected + wrappedDifference(timeMs, expected & 0xffff);
  const intervalOf = (stepMs: number): number =>
    before.intervalMs + SHARE * (Math.min(LONGEST_INTERVAL_MS, stepMs) - before.intervalMs);
  const believable = sentMs > before.sentMs && Math.abs(sentMs - expected) <= JUMP_MS;
  if (!believable) {
    const stepMs = Math.max(1, passedMs);
    const intervalMs = intervalOf(stepMs);
    return { ...before, sentMs, arrivedMs: nowMs, shortestMs: nowMs - sentMs, intervalMs, stepMs };
  }
  const stepMs = sentMs - before.sentMs;
  const wayMs = nowMs - sentMs;
  const shortestMs = Math.min(wayMs, before.shortestMs + SHORTEST_LEAK * passedMs);
  const lateMs = Math.min(LONGEST_JITTER_MS, wayMs - shortestMs);
  const jitterMs = before.jitterMs + SHARE * (lateMs - before.jitterMs);
  return { sentMs, arrivedMs: nowMs, shortestMs, intervalMs: intervalOf(stepMs), jitterMs, stepMs };
}
