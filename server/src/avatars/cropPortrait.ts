import type { Landmarks } from '../contracts.ts';
import { faceGeometry } from './checkLandmarks.ts';

/** How a face lies in a portrait, in parts of its side: as the built-in portraits' camera frames it. */
export const FRAMING = { eyeDistance: 0.19, eyeX: 0.5, eyeY: 0.39 } as const;
/** A square picture whose eye distance lies in here is taken as it is, its maker having framed it. */
const KEPT_EYE_DISTANCE = { min: 0.14, max: 0.3 } as const;
/** longer side by shorter side up to which a picture counts as square */
const SQUARE_RATIO = 1.02;

/** A square part of a picture, in whole pixels of it; may reach beyond the picture, whose edges are then repeated. */
export interface Crop {
  left: number;
  top: number;
  side: number;
}

/**
 * The part of a picture that becomes the portrait.
 *
 * @param landmarks valid, pixels
 */
export function cropPortrait(landmarks: Landmarks, width: number, height: number): Crop {
  const { eyeCentre, eyeDistance } = faceGeometry(landmarks);
  const longer = Math.max(width, height);
  const ratio = eyeDistance / longer;
  if (
    longer <= SQUARE_RATIO * Math.min(width, height) &&
    ratio >= KEPT_EYE_DISTANCE.min &&
    ratio <= KEPT_EYE_DISTANCE.max
  ) {
    return { left: (width - longer) >> 1, top: (height - longer) >> 1, side: longer };
  }
  const side = Math.round(eyeDistance / FRAMING.eyeDistance);
  return {
    left: Math.round(eyeCentre[0] - FRAMING.eyeX * side),
    top: Math.round(eyeCentre[1] - FRAMING.eyeY * side),
    side,
  };
}

/** Landmarks in pixels of the picture → coordinates −1…1 of the crop, 136 values, x right, y down. */
export function landmarksInCrop(landmarks: Landmarks, crop: Crop): Float32Array {
  const out = new Float32Array(landmarks.length * 2);
  for (const [index, [x, y]] of landmarks.entries()) {
    out[index * 2] = ((x - crop.left) / crop.side) * 2 - 1;
    out[index * 2 + 1] = ((y - crop.top) / crop.side) * 2 - 1;
  }
  return out;
}

/** How to make the crop out of what of it lies inside the picture. */
export interface CropPlan {
  /** of the picture */
  extract: { left: number; top: number; width: number; height: number };
  /** what the extract is resized to */
  resize: { width: number; height: number };
  /** pixels of repeated edge around that; the whole is out×out */
  extend: { left: number; top: number; right: number; bottom: number };
}

/** @param out side of the portrait in pixels */
export function planCrop(crop: Crop, width: number, height: number, out: number): CropPlan {
  const x = planAxis(crop.left, crop.side, width, out);
  const y = planAxis(crop.top, crop.side, height, out);
  return {
    extract: { left: x.from, top: y.from, width: x.length, height: y.length },
    resize: { width: x.size, height: y.size },
    extend: { left: x.before, top: y.before, right: x.after, bottom: y.after },
  };
}

function planAxis(start: number, side: number, limit: number, out: number) {
  const from = Math.min(Math.max(start, 0), limit - 1);
  const to = Math.max(Math.min(start + side, limit), from + 1);
  const scale = out / side;
  const before = Math.max(0, Math.min(Math.round((from - start) * scale), out - 1));
  const size = Math.max(1, Math.min(Math.round((to - start) * scale), out) - before);
  return { from, length: to - from, before, size, after: out - before - size };
}
