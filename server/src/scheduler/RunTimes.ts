import type { BatchTime } from '../contracts.ts';

/** Weight of the newest run. */
const SMOOTHING = 0.05;
/** Before several sizes were tried a run counts as costing by itself what so many pictures do: so larger ones are tried. */
const FIRST_FIXED_PICTURES = 1;
/** That weighs as much as runs whose sizes vary by a fifth of a picture. */
const FIRST_WEIGHT = 0.05;
/** Noise must not make a run look as if it cost nothing by itself: batches of one would follow. */
const LEAST_FIXED_SHARE = 0.1;

/**
 * What runs of one picture size take, learnt from those that were: a fixed part and a part for each picture, fitted to
 * the latest runs by least squares, newer ones counting more. For devices that nothing was measured of beforehand.
 */
export class RunTimes {
  readonly #maxBatch: number;
  #mean = { pictures: 0, ms: 0, square: 0, product: 0 };
  #runs = 0;

  constructor(maxBatch: number) {
    this.#maxBatch = maxBatch;
  }

  add(pictures: number, ms: number): void {
    this.#runs++;
    // The first runs count alike.
    const weight = Math.max(SMOOTHING, 1 / this.#runs);
    const mean = this.#mean;
    mean.pictures += weight * (pictures - mean.pictures);
    mean.ms += weight * (ms - mean.ms);
    mean.square += weight * (pictures * pictures - mean.square);
    mean.product += weight * (pictures * ms - mean.product);
  }

  /** As a calibration has them; empty before the first run. */
  get batchTimes(): readonly BatchTime[] {
    if (this.#runs === 0) return [];
    const { pictures, ms, square, product } = this.#mean;
    const proportional = ms / pictures;
    const variance = Math.max(0, square - pictures * pictures);
    const covariance = product - pictures * ms;
    const first = ms / (pictures + FIRST_FIXED_PICTURES);
    const fitted = (covariance + FIRST_WEIGHT * first) / (variance + FIRST_WEIGHT);
    const perPicture = Math.min((1 - LEAST_FIXED_SHARE) * proportional, Math.max(0, fitted));
    const fixed = ms - perPicture * pictures;
    const sizes = this.#maxBatch > 1 ? [1, this.#maxBatch] : [1];
    return sizes.map((count) => ({ pictures: count, ms: fixed + perPicture * count }));
  }
}
