import { FacewireError } from '@facewire/proto';
import type { FramePoints } from './fitPose.ts';
import { LANDMARKS } from './layout.ts';

/** x, y, x, y … or pairs. */
export type Landmarks = ArrayLike<number> | ArrayLike<ArrayLike<number>>;

export interface PointOptions {
  /** of the picture, for coordinates in 0…1; without both, coordinates are pixels (or any unit that is the same across and down) */
  width?: number;
  height?: number;
  /** middles of the two irises, in any order, where the tracker has them */
  irises?: Landmarks;
  /**
   * `openSeeFace`: its 66 points, which lack the outer corners of the mouth, or 68 with the pupils behind them. Default:
   * 68 points in the order of Multi-PIE, dlib and 300-W, or 70 with the irises behind them.
   */
  layout?: 'multiPie' | 'openSeeFace';
}

const IRISES = 2;
const OPEN_SEE_FACE = 66;
/** For each of Multi-PIE's landmarks OpenSeeFace's: the outer corners of the lips are taken to be where the inner ones are. */
const FROM_OPEN_SEE_FACE = [...range(0, 48), 58, ...range(48, 53), 62, ...range(53, 58), ...range(58, 66)];
const RIGHT_EYE = range(36, 42);

/** Checks and sorts what a tracker gives. Throws `landmarks_invalid` for another count of points or one that is not finite. */
export function readPoints(landmarks: Landmarks, options: PointOptions = {}): FramePoints {
  const flat = flatten(landmarks);
  const open = options.layout === 'openSeeFace';
  const plain = open ? OPEN_SEE_FACE : LANDMARKS;
  const count = flat.length / 2;
  if (count !== plain && count !== plain + IRISES) {
    throw invalid(`expected ${plain} landmarks, or ${plain + IRISES} with the irises`, `${count} points`);
  }
  const order = open ? FROM_OPEN_SEE_FACE : range(0, LANDMARKS);
  const face = order.flatMap((index) => [flat[2 * index]!, flat[2 * index + 1]!]);
  const irises = options.irises === undefined ? flat.slice(2 * plain) : flatten(options.irises);
  if (irises.length !== 0 && irises.length !== 2 * IRISES) throw invalid('expected two irises', irises.length / 2);
  const [width, height] = sizeOf(options);
  const points = Float64Array.from(
    [...face, ...inOrder(irises, face)],
    (value, at) => value * (at % 2 ? height : width),
  );
  const odd = points.findIndex((value) => !Number.isFinite(value));
  if (odd >= 0) throw invalid('expected finite coordinates', `point ${odd >> 1} is ${points[odd]}`);
  return { points, irises: irises.length > 0 };
}

function flatten(landmarks: Landmarks): number[] {
  const items = Array.from(landmarks as ArrayLike<number | ArrayLike<number>>);
  if (items.every((item) => typeof item === 'number')) {
    if (items.length % 2 === 1) throw invalid('expected x and y of every point', `${items.length} numbers`);
    return items;
  }
  return items.flatMap((item, index) => {
    // A third number, a depth or how sure the tracker is, is not looked at.
    if (typeof item !== 'object' || item === null || !(item.length >= 2))
      throw invalid('expected pairs', `point ${index}`);
    return [Number(item[0]), Number(item[1])];
  });
}

/** The iris nearer to the right eye first: trackers differ. */
function inOrder(irises: number[], face: number[]): number[] {
  if (irises.length === 0) return [];
  const far = (iris: number): number =>
    Math.min(
      ...RIGHT_EYE.map((at) => Math.hypot(irises[iris]! - face[2 * at]!, irises[iris + 1]! - face[2 * at + 1]!)),
    );
  return far(2) < far(0) ? [...irises.slice(2), ...irises.slice(0, 2)] : irises;
}

function sizeOf({ width, height }: PointOptions): [number, number] {
  if (width === undefined && height === undefined) return [1, 1];
  if (!(width! > 0 && height! > 0 && Number.isFinite(width! + height!))) {
    throw new RangeError(`width and height: expected the picture's size, received ${width}, ${height}`);
  }
  return [width!, height!];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

export function invalid(what: string, received: unknown): FacewireError {
  return new FacewireError('landmarks_invalid', `landmarks: ${what}`, {
    received,
    remedy: 'Multi-PIE order, y down; where the tracker lost the face, pass undefined or nothing at all',
  });
}
