import {
  EXPRESSION_COUNT,
  EXPRESSION_INDEX,
  type ExpressionName,
  type HeadPose,
  type Motion,
  neutralMotion,
} from '@facewire/proto';

/** MediaPipe's list (`categoryName`, `score`), or a plain record of coefficients by ARKit name. */
export type Blendshapes =
  | Readonly<Record<string, number>>
  | ReadonlyArray<{ readonly categoryName: string; readonly score: number }>;

export interface ArkitOptions {
  /**
   * Rotation of the head, either as a matrix of 16 numbers, column-major (ARKit's `ARFaceAnchor.transform` relative to
   * the camera, MediaPipe's `facialTransformationMatrixes[0].data`), axes x right, y up, z out of the picture towards
   * the viewer; or as a pose in Facewire's own axes.
   */
  matrix?: ArrayLike<number>;
  pose?: Partial<HeadPose>;
  /**
   * The picture that was tracked was mirrored (a selfie view): left and right are swapped back, in the coefficients
   * and in the pose.
   */
  mirrored?: boolean;
}

/**
 * Makes a motion of what ARKit and MediaPipe Face Landmarker deliver. Names are ARKit's; `_L`/`_R` endings and
 * MediaPipe's `_neutral` are understood, names that are not ARKit's are ignored, missing ones (MediaPipe knows no
 * `tongueOut`) are 0. Values are clamped to 0…1. Translation comes only from `pose`: a tracker's metres say nothing
 * about the portrait's framing.
 *
 * Throws RangeError for a matrix that is not 16 finite numbers or a value that is not finite.
 */
export function motionFromArkit(blendshapes: Blendshapes, options: ArkitOptions = {}): Motion {
  const motion = neutralMotion();
  const entries: Iterable<readonly [string, number]> = Array.isArray(blendshapes)
    ? blendshapes.map((each) => [each.categoryName, each.score] as const)
    : Object.entries(blendshapes as Readonly<Record<string, number>>);
  for (const [name, value] of entries) {
    const index = indexOf(name);
    if (index === undefined) continue;
    if (!Number.isFinite(value)) throw new RangeError(`${name} is ${value}: expected 0…1`);
    motion.expression[index] = Math.min(1, Math.max(0, value));
  }
  if (options.matrix) motion.pose = { ...motion.pose, ...poseFromMatrix(options.matrix) };
  if (options.pose) motion.pose = { ...motion.pose, ...options.pose };
  return options.mirrored ? mirrorMotion(motion) : motion;
}

/** The same face seen in a mirror: left and right coefficients change places, yaw, roll and tx change sign. */
export function mirrorMotion(motion: Motion): Motion {
  const expression = new Float32Array(EXPRESSION_COUNT);
  for (let index = 0; index < EXPRESSION_COUNT; index++) expression[MIRROR[index]!] = motion.expression[index]!;
  const { pitch, yaw, roll, tx, ty, logScale } = motion.pose;
  return { pose: { pitch, yaw: 0 - yaw, roll: 0 - roll, tx: 0 - tx, ty, logScale }, expression };
}

/**
 * Angles of a rotation given in tracker axes (x right, y up, z to the viewer), in image axes (y down, z into the
 * picture): R_image = F·R·F with F = diag(1, −1, −1), then R_image = Rz(roll)·Ry(yaw)·Rx(pitch) is taken apart.
 * A uniform scale in the matrix is divided out.
 */
export function poseFromMatrix(matrix: ArrayLike<number>): Pick<HeadPose, 'pitch' | 'yaw' | 'roll'> {
  if (matrix.length !== 16 || !Array.from(matrix).every(Number.isFinite)) {
    throw new RangeError('matrix: expected 16 finite numbers, column-major');
  }
  const scale = Math.hypot(matrix[0]!, matrix[1]!, matrix[2]!) || 1;
  const flip = [1, -1, -1];
  const at = (row: number, column: number): number => (flip[row]! * flip[column]! * matrix[column * 4 + row]!) / scale;
  return {
    pitch: Math.atan2(at(2, 1), at(2, 2)),
    yaw: Math.asin(Math.min(1, Math.max(-1, -at(2, 0)))),
    roll: Math.atan2(at(1, 0), at(0, 0)),
  };
}

function indexOf(name: string): number | undefined {
  const plain = name.replace(/_L$/, 'Left').replace(/_R$/, 'Right');
  return Object.hasOwn(EXPRESSION_INDEX, plain) ? EXPRESSION_INDEX[plain as ExpressionName] : undefined;
}

/** index → index of the coefficient on the other side of the face */
const MIRROR: readonly number[] = Object.keys(EXPRESSION_INDEX).map((name) => {
  const other = name.endsWith('Left')
    ? name.replace(/Left$/, 'Right')
    : name.endsWith('Right')
      ? name.replace(/Right$/, 'Left')
      : name;
  return EXPRESSION_INDEX[other as ExpressionName];
});
