import { FacewireError } from '@facewire/proto';
import type { Landmarks } from '../contracts.ts';

export const LANDMARK_COUNT = 68;
/** pixels between the outer eye corners below which a face has too little detail */
export const MIN_EYE_DISTANCE = 24;

type Point = readonly [number, number];

/** What cropping and checking need of a face, in the landmarks' units. */
export interface FaceGeometry {
  /** between the outer eye corners, points 36 and 45 */
  eyeCentre: Point;
  eyeDistance: number;
}

export function faceGeometry(landmarks: Landmarks): FaceGeometry {
  const [right, left] = [landmarks[36]!, landmarks[45]!];
  return {
    eyeCentre: [(right[0] + left[0]) / 2, (right[1] + left[1]) / 2],
    eyeDistance: Math.hypot(left[0] - right[0], left[1] - right[1]),
  };
}

/**
 * Throws landmarks_invalid unless these are 68 points of one upright face inside the picture, in Multi-PIE order.
 *
 * @param landmarks pixels of the picture as it is seen, that is, turned by its EXIF orientation
 */
export function checkLandmarks(landmarks: Landmarks, width: number, height: number): void {
  const problem = landmarksProblem(landmarks, width, height);
  if (problem === undefined) return;
  throw new FacewireError('landmarks_invalid', problem, {
    received: Array.isArray(landmarks) ? landmarks.slice(0, 4) : typeof landmarks,
    remedy: `give 68 points [x, y] in pixels of the upright ${width}×${height} picture, y down, in the order of 300-W (dlib)`,
  });
}

/** undefined when nothing is wrong */
export function landmarksProblem(landmarks: Landmarks, width: number, height: number): string | undefined {
  if (!Array.isArray(landmarks) || landmarks.length !== LANDMARK_COUNT) {
    return `${Array.isArray(landmarks) ? landmarks.length : 'no list of'} landmarks, expected ${LANDMARK_COUNT}`;
  }
  for (const [index, point] of landmarks.entries()) {
    if (!Array.isArray(point) || point.length !== 2 || !point.every((value) => Number.isFinite(value))) {
      return `landmark ${index} is not a pair of finite numbers`;
    }
    const [x, y] = point as unknown as Point;
    if (x < 0 || y < 0 || x > width || y > height) {
      return `landmark ${index} (${x.toFixed(1)}, ${y.toFixed(1)}) is outside the ${width}×${height} picture`;
    }
  }
  const { eyeCentre, eyeDistance } = faceGeometry(landmarks);
  if (eyeDistance < MIN_EYE_DISTANCE) {
    return `the outer eye corners are ${eyeDistance.toFixed(1)} pixels apart, expected at least ${MIN_EYE_DISTANCE}`;
  }
  // Along and across the line of the eyes, in units of the eye distance: a tilted head is judged like an upright one.
  const [right, left] = [landmarks[36]! as Point, landmarks[45]! as Point];
  const [ax, ay] = [(left[0] - right[0]) / eyeDistance, (left[1] - right[1]) / eyeDistance];
  const along = (point: Point) => ((point[0] - eyeCentre[0]) * ax + (point[1] - eyeCentre[1]) * ay) / eyeDistance;
  const below = (point: Point) => ((point[1] - eyeCentre[1]) * ax - (point[0] - eyeCentre[0]) * ay) / eyeDistance;
  if (ax < 0.5) return 'the eyes are swapped or the head is tilted by more than 60°: point 36 belongs at the left';
  const mouth = centre(landmarks, 48, 68);
  const chin = landmarks[8]! as Point;
  const brows = centre(landmarks, 17, 27);
  const nose = landmarks[30]! as Point;
  if (below(mouth) < 0.25) return 'the mouth (points 48–67) is not below the eyes';
  if (below(mouth) > 2.5) return 'the mouth (points 48–67) is too far below the eyes';
  if (below(chin) <= below(mouth)) return 'the chin (point 8) is not below the mouth';
  if (below(brows) >= below(nose)) return 'the brows (points 17–26) are below the nose';
  if (below(nose) <= -0.1 || below(nose) >= below(chin)) return 'the nose (point 30) is not between eyes and chin';
  if (along(landmarks[48]! as Point) >= along(landmarks[54]! as Point))
    return 'the corners of the mouth (points 48, 54) are swapped';
  if (along(landmarks[0]! as Point) >= along(landmarks[16]! as Point))
    return 'the ends of the jaw (points 0, 16) are swapped';
  if (along(landmarks[16]! as Point) - along(landmarks[0]! as Point) < 0.5)
    return 'the jaw (points 0–16) is narrower than the eyes';
  return undefined;
}

function centre(landmarks: Landmarks, from: number, to: number): Point {
  let [x, y] = [0, 0];
  for (let index = from; index < to; index++) {
    x += landmarks[index]![0];
    y += landmarks[index]![1];
  }
  return [x / (to - from), y / (to - from)];
}
