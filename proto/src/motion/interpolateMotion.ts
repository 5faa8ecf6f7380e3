import type { HeadPose, Motion } from './Motion.ts';

/**
 * The motion between `a` (t = 0) and `b` (t = 1), t clamped to 0…1. Angles take the shorter way round; keypoints are
 * blended when both have as many, else taken from the nearer. Returns new arrays.
 */
export function interpolateMotion(a: Motion, b: Motion, t: number): Motion {
  const weight = Math.min(1, Math.max(0, t));
  const pose: HeadPose = {
    pitch: mixAngle(a.pose.pitch, b.pose.pitch, weight),
    yaw: mixAngle(a.pose.yaw, b.pose.yaw, weight),
    roll: mixAngle(a.pose.roll, b.pose.roll, weight),
    tx: mix(a.pose.tx, b.pose.tx, weight),
    ty: mix(a.pose.ty, b.pose.ty, weight),
    logScale: mix(a.pose.logScale, b.pose.logScale, weight),
  };
  const motion: Motion = { pose, expression: mixArrays(a.expression, b.expression, weight) };
  const nearer = weight < 0.5 ? a.keypoints : b.keypoints;
  if (a.keypoints !== undefined && b.keypoints !== undefined && a.keypoints.length === b.keypoints.length) {
    motion.keypoints = mixArrays(a.keypoints, b.keypoints, weight);
  } else if (nearer !== undefined) {
    motion.keypoints = nearer.slice();
  }
  return motion;
}

function mix(a: number, b: number, t: number): number {
  return a + (b - a) * t;
}

function mixAngle(a: number, b: number, t: number): number {
  const turn = 2 * Math.PI;
  const way = b - a;
  const angle = a + (way - turn * Math.round(way / turn)) * t;
  return angle - turn * Math.round(angle / turn);
}

function mixArrays(a: Float32Array, b: Float32Array, t: number): Float32Array {
  return a.map((value, index) => mix(value, b[index]!, t));
}
