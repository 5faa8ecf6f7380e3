import { EXPRESSION_COUNT } from '@facewire/proto';
import { EYE_DISTANCE_IN_IMAGE, type FaceBasis, loadFaceBasis } from './faceBasis.ts';

/** Turns differences of motions into mm on the face. */
export interface FaceMetric {
  /** mean square distance that the face's points move, mm², for a difference of pose and coefficients */
  squared(difference: Float64Array): number;
}

const POSE_COUNT = 6;

/**
 * Linear at the neutral face that looks straight ahead: a small step of each number moves each point by so many mm.
 * Their products are summed over the points once, so that a distance costs 58² multiplications and not a face.
 */
export function loadFaceMetric(basis: FaceBasis = loadFaceBasis()): FaceMetric {
  const moves = movesOf(basis);
  const count = moves.length;
  const points = basis.neutral.length / 3;
  const products = new Float64Array(count * count);
  moves.forEach((a, row) => {
    moves.forEach((b, column) => {
      products[row * count + column] = a.reduce((sum, value, index) => sum + value * b[index]!, 0) / points;
    });
  });
  return {
    squared(difference) {
      let sum = 0;
      for (let row = 0; row < count; row++) {
        const value = difference[row]!;
        if (value === 0) continue;
        let part = 0;
        for (let column = 0; column < count; column++) part += products[row * count + column]! * difference[column]!;
        sum += value * part;
      }
      return sum;
    },
  };
}

/** For pitch, yaw, roll, tx, ty, logScale and each coefficient: displacements of all points in image axes, mm. */
function movesOf(basis: FaceBasis): Float64Array[] {
  const { neutral } = basis;
  const mmPerImage = basis.eyeDistance / EYE_DISTANCE_IN_IMAGE;
  const moves = Array.from({ length: POSE_COUNT + EXPRESSION_COUNT }, () => new Float64Array(neutral.length));
  for (let at = 0; at < neutral.length; at += 3) {
    const [x, y, z] = [neutral[at]!, -neutral[at + 1]!, -neutral[at + 2]!];
    const turns = [
      [0, -z, y],
      [z, 0, -x],
      [-y, x, 0],
      [mmPerImage, 0, 0],
      [0, mmPerImage, 0],
      [x, y, z],
    ];
    turns.forEach((turn, index) => {
      moves[index]!.set(turn, at);
    });
    basis.moves.forEach((move, index) => {
      moves[POSE_COUNT + index]!.set([move[at]!, -move[at + 1]!, -move[at + 2]!], at);
    });
  }
  return moves;
}
