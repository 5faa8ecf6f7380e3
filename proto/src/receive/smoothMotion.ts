import { interpolateMotion } from '../motion/interpolateMotion.ts';
import type { HeadPose, Motion } from '../motion/Motion.ts';

/**
 * The one-euro filter (Casiez, Roussel, Vogel, CHI 2012): a low-pass whose cutoff rises with speed, so that a still
 * face does not tremble and a quick one does not lag.
 */
export interface SmoothOptions {
  /** cutoff at rest, Hz; default 3 */
  minCutoff?: number;
  /** Hz for each unit a second: of angles and lengths, default 12; of coefficients, default 6 */
  poseBeta?: number;
  expressionBeta?: number;
}

/** What the filter remembers; immutable. */
export interface Smoothed {
  readonly motion: Motion;
  readonly atMs: number;
  /** speeds a second: pose in POSE order, then coefficients, then keypoints */
  readonly speeds: Float32Array;
}

/** cutoff of the speeds themselves, Hz */
const SPEED_CUTOFF = 1.5;
/** after a longer gap there is nothing to smooth against */
const GAP_MS = 500;
const POSE = ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const satisfies readonly (keyof HeadPose)[];
const ANGLES = 3;

/** One tick: `before` is the last result, undefined at the start. Returns a new state whose `motion` is to be shown. */
export function smoothMotion(
  before: Smoothed | undefined,
  motion: Motion,
  nowMs: number,
  options: SmoothOptions = {},
): Smoothed {
  const { minCutoff = 3, poseBeta = 12, expressionBeta = 6 } = options;
  const target = interpolateMotion(motion, motion, 0);
  const count = POSE.length + target.expression.length + (target.keypoints?.length ?? 0);
  const seconds = before === undefined ? 0 : (nowMs - before.atMs) / 1000;
  if (before === undefined || seconds > GAP_MS / 1000 || before.speeds.length !== count) {
    return { motion: target, atMs: nowMs, speeds: new Float32Array(count) };
  }
  if (seconds <= 0) return before;

  const speeds = new Float32Array(count);
  const speedShare = share(SPEED_CUTOFF, seconds);
  const step = (index: number, last: number, change: number, beta: number): number => {
    const speed = before.speeds[index]! + speedShare * (change / seconds - before.speeds[index]!);
    speeds[index] = speed;
    return last + share(minCutoff + beta * Math.abs(speed), seconds) * change;
  };
  POSE.forEach((name, index) => {
    const last = before.motion.pose[name];
    const straight = motion.pose[name] - last;
    const change = index < ANGLES ? straight - 2 * Math.PI * Math.round(straight / (2 * Math.PI)) : straight;
    target.pose[name] = step(index, last, change, poseBeta);
  });
  motion.expression.forEach((value, index) => {
    const last = before.motion.expression[index]!;
    target.expression[index] = step(POSE.length + index, last, value - last, expressionBeta);
  });
  motion.keypoints?.forEach((value, index) => {
    const last = before.motion.keypoints![index]!;
    target.keypoints![index] = step(POSE.length + motion.expression.length + index, last, value - last, poseBeta);
  });
  return { motion: target, atMs: nowMs, speeds };
}

/** Share of the way that a low-pass of this cutoff goes in one step. */
function share(cutoff: number, seconds: number): number {
  const tau = 1 / (2 * Math.PI * cutoff);
  return 1 / (1 + tau / seconds);
}
