import type { MotionSample } from '../motion/Motion.ts';
import { alignAngles, FACE_COUNT, motionVector, POSE_COUNT } from './motionVector.ts';
import { restAt } from './rest.ts';
import { firstArrival, nextArrival, type SenderClock } from './senderClock.ts';
import { type Course, HALF_FRAME_MS, paceAt, placeAt, reach, speedAt } from './trajectory.ts';

export interface ReceiveOptions {
  /**
   * How much the face may lag behind showing each newest packet as it comes, on average, ms; default 50. That itself
   * is half a packet interval behind the sender, so the face is shown at most half an interval + this behind.
   */
  maxDelayMs?: number;
}

/**
 * What a sender's packets amount to so far: where its face is, how it moves, and what is left of the last correction.
 * shownMotion() turns it into a motion at any time. Immutable.
 */
export interface ReceivedMotion extends Course {
  /** of the newest packet */
  readonly sequence: number;
  /** of the newest packet, as sent */
  readonly timeMs: number;
  readonly clock: SenderClock;
  /** the newest packet counts in full so long after the fastest would have come */
  readonly delayMs: number;
}

/** After a longer silence nothing is known of how the face moves. */
const SILENCE_MS = 500;
/** What a tracker trembles by (../shared/motion-tracks): radians, half image widths; coefficients. */
const POSE_NOISE = 0.002;
const EXPRESSION_NOISE = 0.01;
/** A surprise of so many times the noise is half believed; smaller ones count as noise, larger ones as motion. */
const GATE = 5;
/** Noise is averaged over about so long. */
const CALM_MS = 60;

/**
 * Takes in a packet that is newer than those before it. Each number runs through a filter of value and trend whose gain
 * rises with the surprise: what lies within the tracker's own noise is averaged out, a blink passes at once. (The idea
 * of the one-euro filter, Casiez et al., CHI 2012, with the prediction error in place of the speed: measured truer at
 * the same calm, see `npm run bench -- receive`.) The face goes on from where it is shown: nothing jumps. Pure.
 */
export function receiveMotion(
  before: ReceivedMotion | undefined,
  sample: MotionSample,
  nowMs: number,
  options: ReceiveOptions = {},
): ReceivedMotion {
  const { maxDelayMs = 50 } = options;
  const { sequence, timeMs } = sample;
  const measured = motionVector(sample.motion);
  const count = measured.length;
  const rows = new Float64Array(4 * count);
  if (before === undefined || before.count !== count) {
    rows.set(measured);
    const clock = before === undefined ? firstArrival(timeMs, nowMs) : nextArrival(before.clock, timeMs, nowMs);
    return { sequence, timeMs, clock, delayMs: before?.delayMs ?? HALF_FRAME_MS, count, rows };
  }
  const clock = nextArrival(before.clock, timeMs, nowMs);
  const delayMs = delayOf(clock, maxDelayMs);
  alignAngles(measured, before.rows);
  filter(before, measured, clock.stepMs, rows);

  // what is shown at this moment, before and after
  const keep = 1 - restAt(before.clock.arrivedMs, nowMs);
  const old = paceAt(before.clock, before.delayMs, nowMs);
  const { carried, left } = paceAt(clock, delayMs, nowMs);
  for (let index = 0; index < count; index++) {
    const speed = rows[count + index]!;
    rows[2 * count + index] = keep * placeAt(before, index, old) - (rows[index]! + speed * carried);
    rows[3 * count + index] = keep * speedAt(before, index, old) - speed * left;
  }
  return { sequence, timeMs, clock, delayMs, count, rows };
}

/** An interval between packets must be bridged, save for the half frame that a picture stays on the screen anyway. */
function delayOf({ intervalMs, jitterMs }: SenderClock, maxDelayMs: number): number {
  return Math.min(intervalMs / 2 + maxDelayMs, Math.max(0, intervalMs - HALF_FRAME_MS) + jitterMs);
}

/** Fills the first two rows: value and speed. */
function filter({ rows: last, count }: Course, measured: Float64Array, stepMs: number, rows: Float64Array): void {
  if (stepMs > SILENCE_MS) {
    rows.set(measured);
    return;
  }
  const ahead = reach(stepMs);
  const calm = 1 - Math.exp(-stepMs / CALM_MS);
  for (let index = 0; index < count; index++) {
    const value = last[index]!;
    const speed = last[count + index]!;
    const predicted = value + speed * ahead;
    const surprise = measured[index]! - predicted;
    const scale = GATE * (index < POSE_COUNT || index >= FACE_COUNT ? POSE_NOISE : EXPRESSION_NOISE);
    const odds = (surprise * surprise) / (scale * scale);
    const gain = calm + (1 - calm) * (odds / (1 + odds));
    const next = predicted + gain * surprise;
    rows[index] = next;
    rows[count + index] = speed + gain * ((next - value) / stepMs - speed);
  }
}
