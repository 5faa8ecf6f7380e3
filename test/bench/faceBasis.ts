import { readFileSync } from 'node:fs';
import { EXPRESSION_NAMES, type HeadPose, type Motion } from '@facewire/proto';

/** Sampled points of ICT-FaceKit's face (MIT), see proto/scripts/makeFaceBasis.py. Arrays are points × 3, mm. */
export interface FaceBasis {
  neutral: Float64Array;
  /** for each of EXPRESSION_NAMES the displacement at coefficient 1 */
  moves: Float64Array[];
  regions: Record<'mouth' | 'eyes' | 'rest', number[]>;
  /** distance of the outer eye corners, mm */
  eyeDistance: number;
}

const OUTER_CORNERS = [36, 45] as const;
/** what trackToMotions assumes of a portrait, image coordinates */
export const EYE_DISTANCE_IN_IMAGE = 0.36;

export function loadFaceBasis(file = new URL('./faceBasis.json', import.meta.url)): FaceBasis {
  const document = JSON.parse(readFileSync(file, 'utf8')) as {
    neutral: number[];
    moves: Record<string, number[]>;
    regions: FaceBasis['regions'];
  };
  const inMm = (numbers: number[]): Float64Array => Float64Array.from(numbers, (each) => each / 100);
  const neutral = inMm(document.neutral);
  const [a, b] = OUTER_CORNERS;
  return {
    neutral,
    moves: EXPRESSION_NAMES.map((name) => inMm(document.moves[name] ?? document.neutral.map(() => 0))),
    regions: document.regions,
    eyeDistance: Math.hypot(...[0, 1, 2].map((axis) => neutral[3 * a + axis]! - neutral[3 * b + axis]!)),
  };
}

/** Displacements from neutral, mm, head coordinates. */
export function deformation(basis: FaceBasis, expression: ArrayLike<number>): Float64Array {
  const result = new Float64Array(basis.neutral.length);
  basis.moves.forEach((move, index) => {
    const coefficient = expression[index]!;
    if (coefficient === 0) return;
    for (let at = 0; at < result.length; at++) result[at] = result[at]! + coefficient * move[at]!;
  });
  return result;
}

/** The points in image axes, mm, as the pose of the motion puts them (scaled orthographic, depth kept). */
export function posedPoints(basis: FaceBasis, motion: Motion): Float64Array {
  const points = deformation(basis, motion.expression);
  const { pose } = motion;
  const rotation = rotationOf(pose);
  const scale = Math.exp(pose.logScale);
  const mmPerImage = basis.eyeDistance / EYE_DISTANCE_IN_IMAGE;
  for (let at = 0; at < points.length; at += 3) {
    const x = basis.neutral[at]! + points[at]!;
    const y = -(basis.neutral[at + 1]! + points[at + 1]!);
    const z = -(basis.neutral[at + 2]! + points[at + 2]!);
    points[at] = scale * (rotation[0]! * x + rotation[1]! * y + rotation[2]! * z) + pose.tx * mmPerImage;
    points[at + 1] = scale * (rotation[3]! * x + rotation[4]! * y + rotation[5]! * z) + pose.ty * mmPerImage;
    points[at + 2] = scale * (rotation[6]! * x + rotation[7]! * y + rotation[8]! * z);
  }
  return points;
}

/** Mean distance in mm, by region, between corresponding points. */
export function pointErrors(basis: FaceBasis, a: Float64Array, b: Float64Array): Record<string, number> {
  const errors: Record<string, number> = {};
  for (const [name, points] of Object.entries(basis.regions)) {
    let sum = 0;
    for (const point of points) {
      const at = 3 * point;
      sum += Math.hypot(a[at]! - b[at]!, a[at + 1]! - b[at + 1]!, a[at + 2]! - b[at + 2]!);
    }
    errors[name] = sum / points.length;
  }
  return errors;
}

/** K keypoint deformations δ in image coordinates (x right, y down, z into the picture) such as face-vid2vid's. */
export function keypointsOf(basis: FaceBasis, expression: ArrayLike<number>, count: number): Float32Array {
  const moved = deformation(basis, expression);
  const perMm = EYE_DISTANCE_IN_IMAGE / basis.eyeDistance;
  const total = basis.neutral.length / 3;
  return Float32Array.from({ length: 3 * count }, (_, index) => {
    const point = Math.floor((Math.floor(index / 3) * total) / count);
    const axis = index % 3;
    return moved[3 * point + axis]! * perMm * (axis === 0 ? 1 : -1);
  });
}

/** R = Rz(roll)·Ry(yaw)·Rx(pitch), row-major. */
function rotationOf({ pitch, yaw, roll }: HeadPose): number[] {
  const [cx, sx, cy, sy] = [Math.cos(pitch), Math.sin(pitch), Math.cos(yaw), Math.sin(yaw)];
  const [cz, sz] = [Math.cos(roll), Math.sin(roll)];
  return [
    cz * cy,
    cz * sy * sx - sz * cx,
    cz * sy * cx + sz * sx,
    sz * cy,
    sz * sy * sx + cz * cx,
    sz * sy * cx - cz * sx,
    -sy,
    cy * sx,
    cy * cx,
  ];
}
