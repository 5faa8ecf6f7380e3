import { EXPRESSION_INDEX, EXPRESSION_NAMES, type ExpressionName } from './expressions.ts';
import type { Motion } from './Motion.ts';
import { eulerFromRotation, type Matrix3, multiply, rotateX, rotateY, rotateZ } from './rotation.ts';

/**
 * A recorded face: one row per video frame. Columns 0–2 pitch, yaw, roll in radians with R = Ry·Rx·Rz in axes x right,
 * y up, z to the camera; 3–4 tx (right), ty (up) in outer-eye-corner distances of the neutral face; 5 ln(scale / median
 * scale); then one coefficient in 0…1 for every entry of `names` (ARKit's, with _L and _R for the subject's sides).
 */
export interface MotionTrack {
  source: string;
  fps: number;
  names: string[];
  frames: number[][];
}

const POSE_COLUMNS = 6;

/** y and z point the other way in image axes: R_image = F·R_track·F. */
const FLIP: Matrix3 = [1, 0, 0, 0, -1, 0, 0, 0, -1];

/**
 * Outer eye corners of a portrait are this far apart in image coordinates (−1…1), 18 % of the image's width. A server
 * avatar's own distance may be passed where it is known.
 */
const EYE_DISTANCE = 0.36;

/**
 * Converts a track to motions in image axes. Translation is taken relative to the track's median, as HeadPose's is
 * relative to the portrait. Coefficients that the track splits and ARKit does not (browInnerUp, cheekPuff) become the
 * mean of both sides; those that it lacks (tongueOut) are 0. `eyeDistance` is the distance of the outer eye corners in
 * image coordinates. Throws TypeError when a name is unknown or a row has the wrong length or a number not finite.
 */
export function trackToMotions(track: MotionTrack, options: { eyeDistance?: number } = {}): Motion[] {
  const { eyeDistance = EYE_DISTANCE } = options;
  const shares = expressionShares(track.names);
  track.frames.forEach((row, index) => {
    if (row.length !== POSE_COLUMNS + track.names.length || !row.every(Number.isFinite)) {
      throw new TypeError(
        `track ${track.source}, frame ${index}: expected ${POSE_COLUMNS + track.names.length} finite numbers`,
      );
    }
  });
  const middleX = median(track.frames.map((row) => row[3]!));
  const middleY = median(track.frames.map((row) => row[4]!));
  return track.frames.map((row) => {
    const [pitch, yaw, roll, tx, ty, logScale] = row as [number, number, number, number, number, number];
    const rotation = multiply(FLIP, rotateY(yaw), rotateX(pitch), rotateZ(roll), FLIP);
    const expression = new Float32Array(EXPRESSION_NAMES.length);
    shares.forEach(({ index, share }, column) => {
      expression[index] = Math.min(1, Math.max(0, expression[index]! + row[POSE_COLUMNS + column]! * share));
    });
    return {
      pose: {
        ...eulerFromRotation(rotation),
        tx: (tx - middleX) * eyeDistance,
        ty: (middleY - ty) * eyeDistance,
        logScale,
      },
      expression,
    };
  });
}

/** For every column of the track: the coefficient that it goes to, and with what weight. */
function expressionShares(names: readonly string[]): { index: number; share: number }[] {
  const targets = names.map((name) => {
    const target = arkitName(name);
    if (target === undefined) {
      throw new TypeError(`track name ${JSON.stringify(name)} is none of ARKit's 52, with _L or _R for the sides`);
    }
    return target;
  });
  return targets.map((target) => ({
    index: EXPRESSION_INDEX[target],
    share: 1 / targets.filter((each) => each === target).length,
  }));
}

function arkitName(name: string): ExpressionName | undefined {
  const base = name.replace(/_[LR]$/, '');
  const sided = name.replace(/_L$/, 'Left').replace(/_R$/, 'Right');
  return [sided, base].find((each): each is ExpressionName => Object.hasOwn(EXPRESSION_INDEX, each));
}

function median(values: number[]): number {
  if (values.length === 0) return 0;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
