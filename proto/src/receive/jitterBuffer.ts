import { type MotionSample, wrappedDifference } from '../motion/Motion.ts';

export interface JitterBufferOptions {
  /** the playhead never lags further behind the fastest packet's way; default 100 */
  maxDelayMs?: number;
}

/** A packet with its times on continuous scales. */
export interface Arrival {
  sample: MotionSample;
  /** the sender's time, unwrapped */
  sentMs: number;
  /** the receiver's clock when it came */
  arrivedMs: number;
}

/** Immutable: accept() returns the next one. */
export interface JitterBuffer {
  /** by sentMs, the newest last; at most BUFFER_SIZE */
  readonly arrivals: readonly Arrival[];
  /** shortest way seen lately: arrivedMs − sentMs of the fastest packets (clocks need not agree) */
  readonly shortestMs: number;
  /** how much longer than that packets take, a decaying maximum */
  readonly jitterMs: number;
  readonly maxDelayMs: number;
}

const BUFFER_SIZE = 16;
/** clocks drift, routes change: the shortest way is believed a little less with each packet */
const SHORTEST_LEAK_MS = 0.05;
const JITTER_DECAY = 0.97;
/** a sender's clock that jumps this far has been restarted */
const RESTART_MS = 10_000;

export function createJitterBuffer(options: JitterBufferOptions = {}): JitterBuffer {
  return { arrivals: [], shortestMs: 0, jitterMs: 0, maxDelayMs: options.maxDelayMs ?? 100 };
}

/**
 * Takes a packet in: in order of sending, whatever the order of arrival. Repeated ones, and those sent before
 * everything that is kept, change nothing.
 */
export function accept(buffer: JitterBuffer, sample: MotionSample, nowMs: number): JitterBuffer {
  const newest = buffer.arrivals.at(-1);
  if (newest === undefined) return startedBy(buffer, sample, nowMs, sample.timeMs);
  // after a silence the 16 bits may have wrapped more than once: the receiver's clock says how often
  const expected = newest.sentMs + (nowMs - newest.arrivedMs);
  const sentMs =
    expected + wrappedDifference(sample.timeMs, Math.round(expected) & 0xffff) - (expected - Math.round(expected));
  if (Math.abs(sentMs - expected) > RESTART_MS) return startedBy(buffer, sample, nowMs, sentMs);
  if (sentMs <= buffer.arrivals[0]!.sentMs || buffer.arrivals.some((each) => each.sentMs === sentMs)) return buffer;

  const way = nowMs - sentMs;
  const shortestMs = Math.min(way, buffer.shortestMs + SHORTEST_LEAK_MS);
  const jitterMs = Math.max(way - shortestMs, buffer.jitterMs * JITTER_DECAY);
  const at = buffer.arrivals.findLastIndex((each) => each.sentMs < sentMs) + 1;
  const arrivals = buffer.arrivals.toSpliced(at, 0, { sample, sentMs, arrivedMs: nowMs }).slice(-BUFFER_SIZE);
  return { ...buffer, arrivals, shortestMs, jitterMs };
}

/** How far behind the fastest packet's way the playhead runs, ms. */
export function delayOf({ jitterMs, maxDelayMs }: JitterBuffer): number {
  return Math.min(jitterMs, maxDelayMs);
}

/** The sender's time to show at the receiver's `nowMs`. */
export function playheadAt(buffer: JitterBuffer, nowMs: number): number {
  return nowMs - buffer.shortestMs - delayOf(buffer);
}

function startedBy(buffer: JitterBuffer, sample: MotionSample, nowMs: number, sentMs: number): JitterBuffer {
  return { ...buffer, arrivals: [{ sample, sentMs, arrivedMs: nowMs }], shortestMs: nowMs - sentMs, jitterMs: 0 };
}
