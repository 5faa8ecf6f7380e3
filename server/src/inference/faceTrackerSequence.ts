import { EXPRESSION_NAMES, type Matrix3, type MotionTrack, multiply, rotateX, rotateY, rotateZ } from '@facewire/proto';
import type { FaceTracker, TrackedFace } from './faceTracker.ts';
import type { RgbImage } from './faceTrackerPixels.ts';

/** the mean face's outer eye corners, cm (ICT-FaceKit) */
const EYE_DISTANCE_CM = 8.92;
const FLIP: Matrix3 = [1, 0, 0, 0, -1, 0, 0, 0, -1];

/**
 * The same face through the pictures of a video: followed from one to the next, found anew (the largest) when it is lost.
 *
 * @returns one entry per picture, undefined where no face is
 */
export async function* trackSequence(
  tracker: Pick<FaceTracker, 'find' | 'follow'>,
  pictures: AsyncIterable<RgbImage> | Iterable<RgbImage>,
): AsyncGenerator<TrackedFace | undefined> {
  let last: TrackedFace | undefined;
  for await (const picture of pictures) {
    if (last !== undefined) last = await tracker.follow(picture, last);
    last ??= (await tracker.find(picture))[0];
    yield last;
  }
}

/**
 * Faces of a video as a motion track, the format that `npm run animate` and the SDK's track source take. Pictures without a
 * face keep the last one's row (the first one's at the beginning).
 *
 * @throws RangeError when no picture has a face
 */
export function toMotionTrack(
  faces: readonly (Pick<TrackedFace, 'motion'> | undefined)[],
  options: { source: string; fps: number },
): MotionTrack {
  let last = faces.find((face) => face !== undefined);
  if (last === undefined) throw new RangeError(`${options.source}: no face in any of ${faces.length} pictures`);
  const motions = faces.map((face) => {
    last = face ?? last;
    return last!.motion;
  });
  const scale = median(motions.map((motion) => motion[5]!));
  const eyeDistance = EYE_DISTANCE_CM * Math.exp(scale);
  return {
    source: options.source,
    fps: options.fps,
    names: [...EXPRESSION_NAMES],
    frames: motions.map((motion) => {
      const [pitch, yaw, roll, tx, ty, logScale, ...coefficients] = motion as unknown as number[];
      const angles = trackAngles(pitch!, yaw!, roll!);
      return [...angles, tx! / eyeDistance, -ty! / eyeDistance, logScale! - scale, ...coefficients];
    }),
  };
}

/** Image axes, R = Rz·Ry·Rx → the track's, R = Ry·Rx·Rz with y up and z to the camera: [pitch, yaw, roll]. */
function trackAngles(pitch: number, yaw: number, roll: number): [number, number, number] {
  const r = multiply(FLIP, rotateZ(roll), rotateY(yaw), rotateX(pitch), FLIP);
  return [-Math.asin(Math.min(1, Math.max(-1, r[5]!))), Math.atan2(r[2]!, r[8]!), Math.atan2(r[3]!, r[4]!)];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
