import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import type { HeadPose, Motion } from '../motion/Motion.ts';

/** pitch, yaw, roll, tx, ty, logScale */
export const POSE_COUNT = 6;
/** keypoints begin here */
export const FACE_COUNT = POSE_COUNT + EXPRESSION_COUNT;
const TURN = 2 * Math.PI;

/** A motion as plain numbers: pose, coefficients, keypoints. Filters treat them alike. */
export function motionVector({ pose, expression, keypoints }: Motion): Float64Array {
  const vector = new Float64Array(FACE_COUNT + (keypoints?.length ?? 0));
  vector[0] = pose.pitch;
  vector[1] = pose.yaw;
  vector[2] = pose.roll;
  vector[3] = pose.tx;
  vector[4] = pose.ty;
  vector[5] = pose.logScale;
  vector.set(expression, POSE_COUNT);
  if (keypoints !== undefined) vector.set(keypoints, FACE_COUNT);
  return vector;
}

/** Back again from `count` numbers: angles within ±π, coefficients within 0…1. */
export function motionOf(count: number, at: (index: number) => number): Motion {
  const pose: HeadPose = {
    pitch: wrapAngle(at(0)),
    yaw: wrapAngle(at(1)),
    roll: wrapAngle(at(2)),
    tx: at(3),
    ty: at(4),
    logScale: at(5),
  };
  const expression = new Float32Array(EXPRESSION_COUNT);
  for (let index = 0; index < EXPRESSION_COUNT; index++) {
    expression[index] = Math.min(1, Math.max(0, at(POSE_COUNT + index)));
  }
  if (count === FACE_COUNT) return { pose, expression };
  const keypoints = new Float32Array(count - FACE_COUNT);
  for (let index = 0; index < keypoints.length; index++) keypoints[index] = at(FACE_COUNT + index);
  return { pose, expression, keypoints };
}

/**
 * Rewrites the angles of `vector` as those nearest to `near` that mean the same rotation, so that filters take the
 * short way: full turns are dropped, and past the poles of yaw the same rotation has the other triple
 * (pitch + π, π − yaw, roll + π).
 */
export function alignAngles(vector: Float64Array, near: Float64Array): void {
  const pitch = nearestTurn(vector[0]!, near[0]!);
  const yaw = nearestTurn(vector[1]!, near[1]!);
  const roll = nearestTurn(vector[2]!, near[2]!);
  const otherPitch = nearestTurn(vector[0]! + Math.PI, near[0]!);
  const otherYaw = nearestTurn(Math.PI - vector[1]!, near[1]!);
  const otherRoll = nearestTurn(vector[2]! + Math.PI, near[2]!);
  const way = Math.abs(pitch - near[0]!) + Math.abs(yaw - near[1]!) + Math.abs(roll - near[2]!);
  const otherWay = Math.abs(otherPitch - near[0]!) + Math.abs(otherYaw - near[1]!) + Math.abs(otherRoll - near[2]!);
  vector[0] = otherWay < way ? otherPitch : pitch;
  vector[1] = otherWay < way ? otherYaw : yaw;
  vector[2] = otherWay < way ? otherRoll : roll;
}

function nearestTurn(angle: number, near: number): number {
  return angle - TURN * Math.round((angle - near) / TURN);
}

function wrapAngle(angle: number): number {
  return angle - TURN * Math.round(angle / TURN);
}
