/** Square, turned crops of a picture: the same as models/training/tracker/crops.py. */

/** side of the crop by the longer side of the landmarks' upright bounding box */
export const CROP_MARGIN = 1.5;

export type Point = readonly [number, number];

/** Centre and side in pixels (a pixel's centre lies at +0.5); roll in radians, clockwise: a head turned so stands upright in it. */
export interface FaceCrop {
  x: number;
  y: number;
  side: number;
  roll: number;
}

/** −1…1 of the crop → pixels */
export function toPicture(crop: FaceCrop, u: number, v: number): [number, number] {
  const half = crop.side / 2;
  const [cos, sin] = [Math.cos(crop.roll) * half, Math.sin(crop.roll) * half];
  return [crop.x + u * cos - v * sin, crop.y + u * sin + v * cos];
}

/** The square around landmarks in the frame turned by `roll`; its side is the longer side of their extent. */
export function faceBox(landmarks: readonly Point[], roll: number): FaceCrop {
  const [cos, sin] = [Math.cos(roll), Math.sin(roll)];
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of landmarks) {
    const [u, v] = [x * cos + y * sin, y * cos - x * sin];
    left = Math.min(left, u);
    right = Math.max(right, u);
    top = Math.min(top, v);
    bottom = Math.max(bottom, v);
  }
  const [u, v] = [(left + right) / 2, (top + bottom) / 2];
  return { x: u * cos - v * sin, y: u * sin + v * cos, side: Math.max(right - left, bottom - top), roll };
}

/** What the landmark network is to see of a face box. */
export function cropAround(box: FaceCrop): FaceCrop {
  return { ...box, side: box.side * CROP_MARGIN };
}

/** The square around the whole picture. */
export function squareAround(width: number, height: number): FaceCrop {
  return { x: width / 2, y: height / 2, side: Math.max(width, height), roll: 0 };
}

/**
 * Motion inside a crop → motion in the square around the picture: turns, moves and scales pose (pitch, yaw, roll, tx, ty,
 * logScale in columns 0…5), keeps the coefficients.
 */
export function motionInPicture(motion: Float32Array, crop: FaceCrop, width: number, height: number): Float32Array {
  const square = squareAround(width, height);
  const out = motion.slice();
  out[2] = wrapped(motion[2]! + crop.roll);
  const [x, y] = toPicture(crop, motion[3]!, motion[4]!);
  out[3] = ((x - square.x) / square.side) * 2;
  out[4] = ((y - square.y) / square.side) * 2;
  out[5] = motion[5]! + Math.log(crop.side / square.side);
  return out;
}

/** Whether two boxes are about one face: their middles are near for the larger one's size. */
export function isSameFace(a: FaceCrop, b: FaceCrop): boolean {
  return Math.hypot(a.x - b.x, a.y - b.y) < 0.45 * Math.max(a.side, b.side);
}

function wrapped(angle: number): number {
  return angle - 2 * Math.PI * Math.round(angle / (2 * Math.PI));
}
