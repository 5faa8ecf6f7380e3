import { EXPRESSION_COUNT, EXPRESSION_NAMES } from '../motion/expressions.ts';

/**
 * The scalars of a motion in the order in which a packet codes them: pitch, yaw, roll, tx, ty, logScale; the 52
 * coefficients, mouth shapes that much depends on first and left beside right; then the keypoints, x, y, z each.
 */
export const POSE_COUNT = 6;
export const FACE_COUNT = POSE_COUNT + EXPRESSION_COUNT;
export const KEYPOINT_LIMIT = 128;
export const SCALAR_LIMIT = FACE_COUNT + 3 * KEYPOINT_LIMIT;

/** Rows in the tables: one for each pose number and coefficient, then one each for the x, y and z of keypoints. */
export const ROW_COUNT = FACE_COUNT + 3;

export const rowOf = (scalar: number): number =>
  scalar < FACE_COUNT ? scalar : FACE_COUNT + ((scalar - FACE_COUNT) % 3);

const FIRST = ['jawOpen', 'mouthClose', 'mouthFunnel', 'mouthPucker'];

/** EXPRESSION_ORDER[n]: index in EXPRESSION_NAMES of the coefficient that is coded n-th. */
export const EXPRESSION_ORDER: Uint8Array = (() => {
  const names: readonly string[] = EXPRESSION_NAMES;
  const order = FIRST.map((name) => names.indexOf(name));
  for (const [index, name] of names.entries()) {
    if (!order.includes(index)) order.push(index);
    const other = names.indexOf(name.replace(/Left$/, 'Right'));
    if (!order.includes(other)) order.push(other);
  }
  return Uint8Array.from(order);
})();

/** The scalars of pose and coefficients in coding order. */
export const FACE_ORDER: readonly number[] = Array.from({ length: FACE_COUNT }, (_, position) =>
  position < POSE_COUNT ? position : POSE_COUNT + EXPRESSION_ORDER[position - POSE_COUNT]!,
);
