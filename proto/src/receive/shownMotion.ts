import { interpolateMotion } from '../motion/interpolateMotion.ts';
import { type Motion, neutralMotion } from '../motion/Motion.ts';
import { FACE_COUNT, motionOf, POSE_COUNT } from './motionVector.ts';
import type { ReceivedMotion } from './receiveMotion.ts';
import { restAt } from './rest.ts';
import { paceAt, placeAt, REACH_MS, SETTLED_MS } from './trajectory.ts';

/** Moves that nobody sees: radians, half image widths; coefficients. */
const POSE_STILL = 0.002;
const EXPRESSION_STILL = 0.01;

/**
 * The motion to show at the receiver's `nowMs`: on its way between packets, a little beyond the newest, and eased to
 * the neutral face within a second once none came for two. Pure; the result owns its arrays.
 */
export function shownMotion(received: ReceivedMotion, nowMs: number): Motion {
  const pace = paceAt(received.clock, received.delayMs, nowMs);
  // within ±π and 0…1 first: a face that is turned round comes back the short way
  const motion = motionOf(received.count, (index) => placeAt(received, index, pace));
  const rest = restAt(received.clock.arrivedMs, nowMs);
  return rest > 0 ? atRest(motion, rest) : motion;
}

/**
 * For how long after the newest packet's arrival the face visibly moves on without another one, ms; 0 when it keeps
 * still (coming to rest is not counted).
 */
export function movesForMs({ delayMs, rows, count }: ReceivedMotion): number {
  for (let index = 0; index < count; index++) {
    const still = index < POSE_COUNT || index >= FACE_COUNT ? POSE_STILL : EXPRESSION_STILL;
    const ahead = Math.abs(rows[count + index]!) * (delayMs + REACH_MS);
    const back = Math.abs(rows[2 * count + index]!) + Math.abs(rows[3 * count + index]!) * REACH_MS;
    if (ahead + back > still) return delayMs + SETTLED_MS;
  }
  return 0;
}

function atRest(motion: Motion, rest: number): Motion {
  const neutral = neutralMotion();
  if (motion.keypoints !== undefined) neutral.keypoints = new Float32Array(motion.keypoints.length);
  return interpolateMotion(motion, neutral, rest);
}
