import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import type { HeadPose, Motion } from '../motion/Motion.ts';

const POSE = ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const satisfies readonly (keyof HeadPose)[];
export const POSE_COUNT = POSE.length;
/** keypoints begin here */
export const FACE_COUNT = POSE_COUNT + EXPRESSION_COUNT;
const TURN = 2 * Math.PI;

/** A motion as plain numbers: pose, coefficients, keypoints. Filters treat them alike. */
export function motionVector({ pose, expression, keypoints }: Motion): Float64Array {
  const vector = new Float64Array(FACE_COUNT + (keypoints?.length ?? 0));
  for (let index = 0; index < POSE_COUNT; index++) vector[index] = pose[POSE[index]!];
  vector.set(expression, POSE_COUNT);
  if (keypoints !== undefined) vector.set(keypoints, FACE_COUNT);
  return vector;
}

/** Back again: angles within ±π, coefficients within 0…1. */
export function motionOf(vector: Float64Array): Motion {
  const at = (index: number): number => vector[index]!;
  const expression = new Float32Array(EXPRESSION_COUNT);
  for (let index = 0; index < EXPRESSION_COUNT; index++) {
    expression[index] = Math.min(1, Math.max(0, at(POSE_COUNT + index)));
  }
  const pose: HeadPose = {
    pitch: wrapAngle(at(0)),
    yaw: wrapAngle(at(1)),
    roll: wrapAngle(at(2)),
    tx: at(3),
    ty: at(4),
    logScale: at(5),
  };
  if (vector.length === FACE_COUNT) return { pose, expression };
  return { pose, expression, keypoints: Float32Array.from(vector.subarray(FACE_COUNT)) };
}

/**
 * Rewrites the angles of `vector` as those nearest to `near` that mean the same rotation, so that filters take the
 * short way: full turns are dropped, and past the poles of yaw the same rotation has the other triple
 * (pitch + π, π − yaw, roll + π).
 */
export function alignAngles(vector: Float64Array, near: Float64Array): void {
  const [pitch, yaw, roll] = [vector[0]!, vector[1]!, vector[2]!];
  const direct = [pitch, yaw, roll].map((angle, index) => nearestTurn(angle, near[index]!));
  const other = [pitch + Math.PI, Math.PI - yaw, roll + Math.PI].map((angle, index) =>
    nearestTurn(angle, near[index]!),
  );
  const way = (angles: readonly number[]): number =>
    angles.reduce((sum, angle, index) => sum + Math.abs(angle - near[index]!), 0);
  vector.set(way(other) < way(direct) ? other : direct);
}

function nearestTurn(angle: number, near: number): number {
  return angle - TURN * Math.round((angle - near) / TURN);
}

function wrapAngle(angle: number): number {
  return angle - TURN * Math.round(angle / TURN);
}
