import { EXPRESSION_COUNT } from './expressions.ts';

/**
 * Head pose in image axes (x right, y down, z into the picture), the convention of face-vid2vid and LivePortrait:
 * `R = Rz(roll) · Ry(yaw) · Rx(pitch)`, driving keypoints `x = s·(R·x_canonical + δ) + t` (face-vid2vid, eq. 2).
 *
 * Positive pitch: nose down. Positive yaw: the face turns to the image's left. Positive roll: clockwise in the image.
 */
export interface HeadPose {
  /** radians, −π…π */
  pitch: number;
  /** radians, −π…π */
  yaw: number;
  /** radians, −π…π */
  roll: number;
  /** head origin relative to its place in the portrait, units of half the image width (image coordinates −1…1), −4…4 */
  tx: number;
  ty: number;
  /** natural logarithm of the head's size relative to the portrait, −4…4 (scaled orthographic: there is no tz) */
  logScale: number;
}

export interface Motion {
  pose: HeadPose;
  /** 52 coefficients in 0…1, the order of EXPRESSION_NAMES */
  expression: Float32Array;
  /** optional keypoint deformations δ, K×3 row-major, image coordinates, −4…4: for models trained on their own keypoints */
  keypoints?: Float32Array;
}

/** A motion as it travels: numbered and dated by its sender. */
export interface MotionSample {
  motion: Motion;
  /** increments by one per packet, modulo 65536 */
  sequence: number;
  /** the sender's estimate of the server's clock in ms, modulo 65536 (the SDK learns the offset from ping/pong) */
  timeMs: number;
}

export function neutralMotion(): Motion {
  return {
    pose: { pitch: 0, yaw: 0, roll: 0, tx: 0, ty: 0, logScale: 0 },
    expression: new Float32Array(EXPRESSION_COUNT),
  };
}

/** How far `a` is ahead of `b` modulo 65536, in −32768…32767: for sequence numbers and packet times alike. */
export function wrappedDifference(a: number, b: number): number {
  return ((a - b) << 16) >> 16;
}
