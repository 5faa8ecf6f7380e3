import type { Landmarks } from '../contracts.ts';
import { brightLuma, choosePortraitFace, type ObservedFace } from './choosePortraitFace.ts';
import { cropPortrait } from './cropPortrait.ts';
import { PORTRAIT_SIZE, type Portrait } from './readPortrait.ts';

/** Finds every face of a picture: inference's FaceTracker. */
export type PortraitTracker = (image: {
  rgb: Uint8Array;
  width: number;
  height: number;
}) => Promise<readonly ObservedFace[]>;

/** A second look that moves the landmarks by more, in parts of the crop, has found something else. */
const SAME_FACE = 0.05;

/**
 * The landmarks of the one face that the picture is about, in its pixels: found in a preview, and looked at again where the
 * portrait will show the face larger than the preview did.
 *
 * @throws FacewireError what choosePortraitFace throws (face_not_found, …)
 */
export async function trackPortrait(image: Portrait, tracker: PortraitTracker): Promise<Landmarks> {
  const { scale, ...preview } = await image.preview();
  const face = choosePortraitFace(await tracker(preview), { ...preview, scale, high: brightLuma(preview.rgb) });
  const within = ([x, y]: readonly [number, number]) =>
    [Math.min(Math.max(x, 0), image.width), Math.min(Math.max(y, 0), image.height)] as const;
  const landmarks = face.landmarks.map(([x, y]) => within([x / scale, y / scale]));
  const crop = cropPortrait(landmarks, image.width, image.height);
  if (scale === 1 || crop.side * scale >= PORTRAIT_SIZE) return landmarks;
  const closer = await tracker({ rgb: await image.rgb(crop), width: PORTRAIT_SIZE, height: PORTRAIT_SIZE });
  const seen = closer[0]?.landmarks.map(([x, y]) =>
    within([crop.left + (x / PORTRAIT_SIZE) * crop.side, crop.top + (y / PORTRAIT_SIZE) * crop.side]),
  );
  return seen !== undefined && distanceOf(seen, landmarks) < crop.side * SAME_FACE ? seen : landmarks;
}

/** Mean distance between two sets of landmarks. */
function distanceOf(a: Landmarks, b: Landmarks): number {
  return a.reduce((sum, [x, y], index) => sum + Math.hypot(x - b[index]![0], y - b[index]![1]), 0) / a.length;
}
