import { interpolateMotion } from '../motion/interpolateMotion.ts';
import { type HeadPose, type Motion, neutralMotion } from '../motion/Motion.ts';
import { type Arrival, type JitterBuffer, playheadAt } from './jitterBuffer.ts';

export interface PlayoutOptions {
  /** how far dead reckoning goes past the newest packet; default 100 */
  predictMs?: number;
  /** silence after which the face begins to relax; default 400 */
  holdMs?: number;
  /** how long it takes to be neutral; default 800 */
  easeMs?: number;
}

export interface Playout {
  motion: Motion;
  how: 'waiting' | 'interpolated' | 'predicted' | 'held' | 'easing' | 'neutral';
  /** how old what is shown is, by the sender's clock and the fastest packet's way, ms */
  behindMs: number;
}

/** Speeds are believed for about this long: dead reckoning runs out softly instead of overshooting. */
const SPEED_MEMORY_MS = 50;
/** two packets further apart say nothing about speed */
const SPEED_GAP_MS = 200;
const POSE = ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const satisfies readonly (keyof HeadPose)[];

/**
 * The motion to show at `nowMs` (the receiver's clock): between packets where the playhead has packets on both sides,
 * dead reckoning past the newest, then a hold, then easing to neutral. Pure; the result owns its arrays.
 */
export function motionAt(buffer: JitterBuffer, nowMs: number, options: PlayoutOptions = {}): Playout {
  const { predictMs = 100, holdMs = 400, easeMs = 800 } = options;
  const newest = buffer.arrivals.at(-1);
  if (newest === undefined) return { motion: neutralMotion(), how: 'waiting', behindMs: 0 };
  const playhead = playheadAt(buffer, nowMs);
  const reference = nowMs - buffer.shortestMs;
  const past = playhead - newest.sentMs;
  if (past <= 0) {
    return { motion: between(buffer.arrivals, playhead), how: 'interpolated', behindMs: reference - playhead };
  }
  const predicted = predict(buffer.arrivals, Math.min(past, predictMs));
  const behindMs = reference - newest.sentMs - Math.min(past, predictMs);
  if (past <= predictMs) return { motion: predicted, how: 'predicted', behindMs };
  if (past <= holdMs) return { motion: predicted, how: 'held', behindMs };
  const share = easeMs <= 0 ? 1 : Math.min(1, (past - holdMs) / easeMs);
  const rest = neutralMotion();
  if (predicted.keypoints !== undefined) rest.keypoints = new Float32Array(predicted.keypoints.length);
  const motion = interpolateMotion(predicted, rest, share * share * (3 - 2 * share));
  return { motion, how: share < 1 ? 'easing' : 'neutral', behindMs };
}

function between(arrivals: readonly Arrival[], playhead: number): Motion {
  const after = arrivals.findIndex(({ sentMs }) => sentMs >= playhead);
  const next = arrivals[after]!;
  const before = arrivals[after - 1] ?? next;
  const span = next.sentMs - before.sentMs;
  return interpolateMotion(
    before.sample.motion,
    next.sample.motion,
    span === 0 ? 1 : (playhead - before.sentMs) / span,
  );
}

/** Dead reckoning from the last two packets: displacement v·τ·(1 − exp(−t/τ)), coefficients kept in 0…1. */
function predict(arrivals: readonly Arrival[], aheadMs: number): Motion {
  const last = arrivals.at(-1)!;
  const before = arrivals.at(-2);
  const { motion } = last.sample;
  const copy = interpolateMotion(motion, motion, 0);
  if (before === undefined || last.sentMs - before.sentMs > SPEED_GAP_MS) return copy;
  const span = last.sentMs - before.sentMs;
  const reach = (SPEED_MEMORY_MS * (1 - Math.exp(-aheadMs / SPEED_MEMORY_MS))) / span;
  const from = before.sample.motion;
  for (const name of POSE) {
    const turned = motion.pose[name] - from.pose[name];
    // an angle that passed ±π moved the short way
    const way = turned - 2 * Math.PI * Math.round(turned / (2 * Math.PI));
    copy.pose[name] = motion.pose[name] + (POSE.indexOf(name) < 3 ? way : turned) * reach;
  }
  copy.expression.forEach((value, index) => {
    copy.expression[index] = Math.min(1, Math.max(0, value + (value - from.expression[index]!) * reach));
  });
  if (copy.keypoints !== undefined && from.keypoints?.length === copy.keypoints.length) {
    copy.keypoints.forEach((value, index) => {
      copy.keypoints![index] = value + (value - from.keypoints![index]!) * reach;
    });
  }
  return copy;
}
