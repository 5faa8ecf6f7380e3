import type { MotionSample } from '../motion/Motion.ts';
import { alignAngles, FACE_COUNT, motionVector, POSE_COUNT } from './motionVector.ts';
import { restAt } from './rest.ts';
import { firstArrival, nextArrival, type SenderClock } from './senderClock.ts';
import { HALF_FRAME_MS, reach, trajectoryAt } from './trajectory.ts';

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
export interface ReceivedMotion {
  /** of the newest packet */
  readonly sequence: number;
  /** of the newest packet, as sent */
  readonly timeMs: number;
  readonly clock: SenderClock;
  /** the newest packet counts in full so long after the fastest would have come */
  readonly delayMs: number;
  /** smoothed, as motionVector() lays it out, at clock.sentMs */
  readonly value: Float64Array;
  /** a millisecond */
  readonly speed: Float64Array;
  /** what was shown when the packet came less what it makes of it, and how that moved: worn off within about 60 ms */
  readonly offset: Float64Array;
  readonly offsetSpeed: Float64Array;
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
 * of the one-euro filter, Casiez et al., CHI 2012, with the prediction error in place of the speed: measured calmer at
 * the same lag, see `npm run bench -- receive`.) Pure.
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
  if (before === undefined || before.value.length !== count) {
    const clock = before === undefined ? firstArrival(timeMs, nowMs) : nextArrival(before.clock, timeMs, nowMs);
    const zeros = (): Float64Array => new Float64Array(count);
    const delayMs = before?.delayMs ?? HALF_FRAME_MS;
    return { sequence, timeMs, clock, delayMs, value: measured, speed: zeros(), offset: zeros(), offsetSpeed: zeros() };
  }
  const clock = nextArrival(before.clock, timeMs, nowMs);
  alignAngles(measured, before.value);
  const { value, speed } = filtered(before, measured, clock.stepMs);
  const next = { sequence, timeMs, clock, delayMs: delayOf(clock, maxDelayMs), value, speed };
  return { ...next, ...correction(before, next, nowMs) };
}

/** An interval between packets must be bridged, save for the half frame that a picture stays on the screen anyway. */
function delayOf({ intervalMs, jitterMs }: SenderClock, maxDelayMs: number): number {
  return Math.min(intervalMs / 2 + maxDelayMs, Math.max(0, intervalMs - HALF_FRAME_MS) + jitterMs);
}

function filtered(
  before: ReceivedMotion,
  measured: Float64Array,
  stepMs: number,
): Pick<ReceivedMotion, 'value' | 'speed'> {
  const count = measured.length;
  const speed = new Float64Array(count);
  if (stepMs > SILENCE_MS) return { value: measured, speed };
  const value = new Float64Array(count);
  const ahead = reach(stepMs);
  const calm = 1 - Math.exp(-stepMs / CALM_MS);
  for (let index = 0; index < count; index++) {
    const [last, lastSpeed] = [before.value[index]!, before.speed[index]!];
    const predicted = last + lastSpeed * ahead;
    const surprise = measured[index]! - predicted;
    const scale = GATE * (index < POSE_COUNT || index >= FACE_COUNT ? POSE_NOISE : EXPRESSION_NOISE);
    const odds = (surprise / scale) ** 2;
    const gain = calm + (1 - calm) * (odds / (1 + odds));
    value[index] = predicted + gain * surprise;
    speed[index] = lastSpeed + gain * ((value[index]! - last) / stepMs - lastSpeed);
  }
  return { value, speed };
}

/** The face goes on from where it is shown: nothing jumps when a packet comes. */
function correction(
  before: ReceivedMotion,
  next: Omit<ReceivedMotion, 'offset' | 'offsetSpeed'>,
  nowMs: number,
): Pick<ReceivedMotion, 'offset' | 'offsetSpeed'> {
  const old = trajectoryAt(before, nowMs);
  const bare = trajectoryAt({ ...next, offset: undefined }, nowMs);
  const keep = 1 - restAt(before.clock.arrivedMs, nowMs);
  const count = old.place.length;
  const offset = new Float64Array(count);
  const offsetSpeed = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    offset[index] = old.place[index]! * keep - bare.place[index]!;
    offsetSpeed[index] = old.speed[index]! * keep - bare.speed[index]!;
  }
  return { offset, offsetSpeed };
}
