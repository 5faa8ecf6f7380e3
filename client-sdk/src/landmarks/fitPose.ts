import { eulerFromRotation, multiply, rotateX, rotateY } from '@facewire/proto';
import { COMMON, FRAME_MS, inputsOf, LANDMARKS, MISFIT, POSE, REGIONS } from './layout.ts';
import type { Weights } from './readWeights.ts';

/** One frame of landmarks: x, y of 68 points, then of the right and the left iris where there are irises; pixels, y down. */
export interface FramePoints {
  points: Float64Array;
  irises: boolean;
}

const clamp = (value: number, most: number): number => Math.min(most, Math.max(-most, value));

/** The mean face's pose by least squares, and what it misses the landmarks by: what the network is given. */
export class PoseFit {
  readonly #mean: Float32Array;
  readonly #solve: Float32Array;
  /** for each region its numbers */
  readonly tokens: readonly Float32Array[] = REGIONS.map((region) => new Float32Array(inputsOf(region)));
  /** pitch, yaw, roll, shift x, y (pixels), logarithm of pixels per cm */
  readonly pose = new Float64Array(POSE);
  #before: Float64Array | undefined;

  constructor(weights: Weights) {
    this.#mean = weights.get('mean', LANDMARKS, 3);
    this.#solve = weights.get('solve', LANDMARKS, 4);
  }

  reset(): void {
    this.#before = undefined;
  }

  /** Fills `pose` and `tokens`. Returns false, and forgets nothing, where the points do not span a face. */
  run({ points, irises }: FramePoints, dtMs: number): boolean {
    const found = this.#fit(points);
    if (found === undefined) return false;
    this.pose.set(found);
    const common = this.#common(dtMs);
    this.#before = found;
    const own = this.#upright(points);
    const [pitch, yaw] = [found[0]!, found[1]!];
    const turned = multiply(rotateY(yaw), rotateX(pitch));
    const model = (index: number, axis: number): number => {
      let sum = 0;
      for (let k = 0; k < 3; k++) sum += turned[3 * axis + k]! * this.#mean[3 * index + k]!;
      return sum;
    };
    REGIONS.forEach(({ from, to, iris }, token) => {
      const out = this.tokens[token]!;
      let at = 0;
      const middle = [0, 0];
      for (let index = from; index < to; index++) {
        for (const axis of [0, 1]) {
          const value = own[2 * index + axis]!;
          out[at++] = clamp(value - model(index, axis), MISFIT);
          middle[axis] = middle[axis]! + value / (to - from);
        }
      }
      if (iris !== undefined) {
        for (const axis of [0, 1]) {
          out[at++] = irises ? clamp(own[2 * (LANDMARKS + iris) + axis]! - middle[axis]!, MISFIT) : 0;
        }
        out[at++] = irises ? 1 : 0;
      }
      out.set(common, at);
    });
    return true;
  }

  /** Weak perspective: an affine map of the mean face, then the nearest two rows at a right angle. */
  #fit(points: Float64Array): Float64Array | undefined {
    const rows = [0, 1].map((axis) => {
      const row = [0, 0, 0, 0];
      for (let index = 0; index < LANDMARKS; index++) {
        for (let k = 0; k < 4; k++) row[k] = row[k]! + points[2 * index + axis]! * this.#solve[4 * index + k]!;
      }
      return row;
    }) as [number[], number[]];
    const lengths = rows.map((row) => Math.hypot(row[0]!, row[1]!, row[2]!)) as [number, number];
    const [a, b] = rows.map((row, axis) => [0, 1, 2].map((k) => row[k]! / lengths[axis]!)) as [number[], number[]];
    const plus = unit(a.map((value, k) => value + b[k]!));
    const minus = unit(a.map((value, k) => value - b[k]!));
    const right = plus.map((value, k) => (value + minus[k]!) * Math.SQRT1_2);
    const down = plus.map((value, k) => (value - minus[k]!) * Math.SQRT1_2);
    const [ax, ay, az] = right as [number, number, number];
    const [bx, by, bz] = down as [number, number, number];
    const into = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
    const { pitch, yaw, roll } = eulerFromRotation([...right, ...down, ...into]);
    const scale = Math.log((lengths[0] + lengths[1]) / 2);
    const found = Float64Array.of(pitch, yaw, roll, rows[0][3]!, rows[1][3]!, scale);
    return found.every(Number.isFinite) ? found : undefined;
  }

  /** Sines and cosines of pitch and yaw, how far the pose moved since the frame before, the frame's time. */
  #common(dtMs: number): Float32Array {
    const [pitch, yaw, , , , grown] = this.pose as unknown as [number, number, number, number, number, number];
    const out = new Float32Array(COMMON);
    out.set([Math.sin(pitch), Math.sin(yaw), Math.cos(pitch), Math.cos(yaw)]);
    const before = this.#before;
    if (before !== undefined) {
      const units = [10, 10, 10, Math.exp(-grown), Math.exp(-grown), 10];
      units.forEach((per, k) => {
        out[4 + k] = clamp((this.pose[k]! - before[k]!) * per, 3);
      });
    }
    out[COMMON - 1] = Math.min(4, Math.max(-2, Math.log(dtMs / FRAME_MS)));
    return out;
  }

  /** All points as an upright head of the mean size has them, cm from its origin. */
  #upright(points: Float64Array): Float64Array {
    const [, , roll, x, y, grown] = this.pose as unknown as [number, number, number, number, number, number];
    const [c, s] = [Math.cos(roll) * Math.exp(-grown), Math.sin(roll) * Math.exp(-grown)];
    const out = new Float64Array(points.length);
    for (let at = 0; at < points.length; at += 2) {
      const [dx, dy] = [points[at]! - x, points[at + 1]! - y];
      out[at] = c * dx + s * dy;
      out[at + 1] = c * dy - s * dx;
    }
    return out;
  }
}

/** The fitted pose with the network's correction: angles, shift in the upright head's cm, logarithm of the scale. */
export function corrected(pose: Float64Array, correction: ArrayLike<number>): Float64Array {
  const [c, s] = [Math.cos(pose[2]!), Math.sin(pose[2]!)];
  const perCm = Math.exp(pose[5]!);
  const [x, y] = [correction[3]!, correction[4]!];
  const out = Float64Array.from(pose, (value, k) => value + correction[k]!);
  out[3] = pose[3]! + (c * x - s * y) * perCm;
  out[4] = pose[4]! + (s * x + c * y) * perCm;
  return out;
}

function unit(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}
