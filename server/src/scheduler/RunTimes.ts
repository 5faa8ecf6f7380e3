import type { BatchTime } from '../contracts.ts';
import { batchMs } from './batchCost.ts';

/** Weight of the newest run: in how long runs take now … */
const LEVEL = 0.2;
/** … and in how that depends on their size, for which several sizes must be seen. */
const SLOPE = 0.05;
/** What is believed beforehand weighs as much as runs whose sizes vary by a fifth of a picture. */
const BELIEF = 0.05;
/** Noise must not make a run look as if it cost nothing by itself: batches of one would follow. */
const LEAST_FIXED_SHARE = 0.1;

/** Exponential means over runs of x, what they should have taken, and y, what they took, both ms. */
interface Means {
  x: number;
  y: number;
  xx: number;
  xy: number;
  pictures: number;
}

/**
 * What runs of one picture size take: the shape that is believed beforehand, stretched and shifted to the runs that were,
 * by least squares with newer ones counting more. Shape is a calibration, or a guess: so a calibration made while others
 * used the machine does no lasting harm, and without one the sizes that pay are found by trying.
 */
export class RunTimes {
  readonly #shape: readonly BatchTime[];
  /** of the shape, ms for one picture more */
  readonly #step: number;
  readonly #level: Means = { ...NOTHING };
  readonly #slope: Means = { ...NOTHING };
  #runs = 0;

  /** @param shape ascending by pictures, at least one; of a guess only the proportions matter */
  constructor(shape: readonly BatchTime[]) {
    this.#shape = shape;
    const [first, last] = [shape[0]!, shape.at(-1)!];
    this.#step = (last.ms - first.ms) / Math.max(1, last.pictures - first.pictures) || first.ms;
  }

  get runs(): number {
    return this.#runs;
  }

  add(pictures: number, ms: number): void {
    this.#runs++;
    const x = batchMs(this.#shape, pictures);
    const run = { x, y: ms, xx: x * x, xy: x * ms, pictures };
    // The first runs count alike.
    blend(this.#level, run, Math.max(LEVEL, 1 / this.#runs));
    blend(this.#slope, run, Math.max(SLOPE, 1 / this.#runs));
  }

  /** By the sizes of the shape; the shape itself before the first run. */
  get batchTimes(): readonly BatchTime[] {
    if (this.#runs === 0) return this.#shape;
    const { x, y, pictures } = this.#level;
    const slope = Math.min(this.#fitted() * (y / x), this.#steepest(x, y, pictures));
    return this.#shape.map((time) => ({ pictures: time.pictures, ms: y + slope * (time.ms - x) }));
  }

  /** How steeply times rise against the shape, as a multiple of how much longer they are: 1 as believed. */
  #fitted(): number {
    const { x, y, xx, xy } = this.#slope;
    const weight = BELIEF * this.#step ** 2;
    const variance = Math.max(0, xx - x * x);
    const believed = y / x;
    return Math.max(0, (xy - x * y + weight * believed) / (variance + weight)) / believed;
  }

  /** The slope at which a run costs next to nothing by itself. */
  #steepest(x: number, y: number, pictures: number): number {
    const single = y * (LEAST_FIXED_SHARE + (1 - LEAST_FIXED_SHARE) / pictures);
    const down = x - batchMs(this.#shape, 1);
    return down > 0 ? Math.max(0, y - single) / down : Number.POSITIVE_INFINITY;
  }
}

/** Where nothing was measured: a run costs by itself what one picture does. */
export function guessedShape(maxBatch: number): readonly BatchTime[] {
  const sizes = maxBatch > 1 ? [1, maxBatch] : [1];
  return sizes.map((pictures) => ({ pictures, ms: 1 + pictures }));
}

const NOTHING: Means = { x: 0, y: 0, xx: 0, xy: 0, pictures: 0 };

function blend(means: Means, run: Means, weight: number): void {
  for (const name of ['x', 'y', 'xx', 'xy', 'pictures'] as const) means[name] += weight * (run[name] - means[name]);
}
