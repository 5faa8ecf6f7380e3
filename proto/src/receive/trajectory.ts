import type { SenderClock } from './senderClock.ts';

/** Half of the time that a picture stays on the screen at 30 a second. */
export const HALF_FRAME_MS = 1000 / 60;
/** A speed is believed for about so long: dead reckoning runs out softly instead of overshooting. */
export const REACH_MS = 25;
/** Time constant of the critically damped spring that wears corrections off. */
const SPRING_MS = 14;
/** Past this nothing of a correction or a speed is left to see. */
export const SETTLED_MS = 150;

/**
 * How the numbers of a motion (motionVector) go on after a packet. Four rows of `count`: the value, calmed, as of the
 * packet's own time; its speed a millisecond; the offset, which is what was shown when the packet came less what the
 * packet makes of it; and that offset's speed.
 */
export interface Course {
  readonly count: number;
  readonly rows: Float64Array;
}

/** What is the same for all numbers at one moment. */
export interface Pace {
  /** how far a speed of 1 has carried by now, and the share of the speed that is left */
  carried: number;
  left: number;
  /** since the packet came, and the share of its correction that is still to come */
  sinceMs: number;
  worn: number;
}

export function paceAt(clock: SenderClock, delayMs: number, nowMs: number): Pace {
  const ageMs = nowMs - clock.shortestMs - delayMs - clock.sentMs;
  // a picture drawn now stays for a frame: half of it is counted in
  const sinceMs = Math.max(0, nowMs - clock.arrivedMs) + HALF_FRAME_MS;
  const left = ageMs <= 0 ? 1 : Math.exp(-ageMs / REACH_MS);
  return { carried: reach(ageMs), left, sinceMs, worn: Math.exp(-sinceMs / SPRING_MS) };
}

/** How far a speed of 1 carries in so many ms: τ(1 − exp(−t/τ)); linear before the packet's own time. */
export function reach(ageMs: number): number {
  return ageMs <= 0 ? ageMs : REACH_MS * (1 - Math.exp(-ageMs / REACH_MS));
}

/** Where number `index` is on its way. */
export function placeAt({ rows, count }: Course, index: number, { carried, sinceMs, worn }: Pace): number {
  const offset = rows[2 * count + index]!;
  const pull = rows[3 * count + index]! + offset / SPRING_MS;
  return rows[index]! + rows[count + index]! * carried + (offset + pull * sinceMs) * worn;
}

/** How fast it moves there, a millisecond: the derivative of placeAt. */
export function speedAt({ rows, count }: Course, index: number, { left, sinceMs, worn }: Pace): number {
  const offsetSpeed = rows[3 * count + index]!;
  const pull = offsetSpeed + rows[2 * count + index]! / SPRING_MS;
  return rows[count + index]! * left + (offsetSpeed - (pull * sinceMs) / SPRING_MS) * worn;
}
