/** What one second of drawing was like. */
export interface LoadWindow {
  /** turns that rates entitled streams to, and those of them that passed without a frame */
  turns: number;
  missed: number;
  /** share of the time in which the device drew, 0…1 */
  busy: number;
  /** by how much the device's work would grow if every picture were drawn one size larger */
  growth: number;
  /** whether one step more would make any picture smaller; default true */
  shrinks?: boolean;
}

/** When more than every second turn is missed rates have fallen as far as they should: then sizes follow. */
const OVERLOADED_SHARE = 0.5;
const OVERLOADED_WINDOWS = 3;
/** Sizes grow again when the device would then still be idle for a good part. */
const CALM_BUSY = 0.7;
const CALM_SHARE = 0.05;
const CALM_WINDOWS = 5;
const MOST_CALM_WINDOWS = 80;

/**
 * By how many sizes everybody's pictures are drawn smaller than asked for. Under overload frame rates fall first, for
 * all alike (planBatch); when that has halved them and lasts, sizes fall, for all alike. They return when the device
 * has room for it. Each return that ends in overload again doubles the calm that the next one needs, as every change of
 * size costs every viewer a key frame.
 */
export class SizeReduction {
  readonly #most: number;
  #steps = 0;
  #overloaded = 0;
  #calm = 0;
  #calmNeeded = CALM_WINDOWS;
  #sinceReturn = Number.POSITIVE_INFINITY;

  /** @param sizes that the renderer has */
  constructor(sizes: number) {
    this.#most = Math.max(0, sizes - 1);
  }

  get steps(): number {
    return this.#steps;
  }

  /** Judges one window; returns the steps from here on. */
  judge({ turns, missed, busy, growth, shrinks = true }: LoadWindow): number {
    const share = turns === 0 ? 0 : missed / turns;
    this.#overloaded = share > OVERLOADED_SHARE ? this.#overloaded + 1 : 0;
    this.#calm = share < CALM_SHARE && busy * growth < CALM_BUSY ? this.#calm + 1 : 0;
    this.#sinceReturn++;
    if (this.#overloaded >= OVERLOADED_WINDOWS && this.#steps < this.#most && shrinks) {
      if (this.#sinceReturn <= 2 * OVERLOADED_WINDOWS) {
        this.#calmNeeded = Math.min(MOST_CALM_WINDOWS, 2 * this.#calmNeeded);
      }
      this.#change(1);
    } else if (this.#calm >= this.#calmNeeded && this.#steps > 0) {
      this.#sinceReturn = 0;
      this.#change(-1);
    }
    return this.#steps;
  }

  #change(by: number): void {
    this.#steps += by;
    this.#overloaded = 0;
    this.#calm = 0;
  }
}

/**
 * The size to draw for one that was asked for.
 *
 * @param sizes ascending
 */
export function reducedSize(size: number, steps: number, sizes: readonly number[]): number {
  if (steps === 0) return size;
  const index = sizes.indexOf(size);
  return index < 0 ? size : sizes[Math.max(0, index - steps)]!;
}
