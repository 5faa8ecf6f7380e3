/** Upper bounds of the exported buckets. Milliseconds and counts both live well between 0.5 and 1000. */
export const DEFAULT_BUCKETS: readonly number[] = [0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 100, 150, 250, 500, 1000];

/** Observations that the quantiles look at: about a minute of 30 frames/s. */
const WINDOW = 2048;

export interface HistogramSnapshot {
  /** since the start (or the last reset) */
  count: number;
  sum: number;
  mean: number;
  max: number;
  /** exact over the newest 2048 observations; 0 when there are none */
  p50: number;
  p95: number;
}

/**
 * Counts per bucket for Prometheus, which adds up over servers, and a ring of the newest values for exact quantiles,
 * which benches compare with a target and buckets would only bracket.
 */
export class Histogram {
  readonly bounds: readonly number[];
  /** observations ≤ bounds[i] but > bounds[i − 1]; the last entry counts those above every bound */
  readonly counts: number[];
  #recent = new Float64Array(WINDOW);
  #count = 0;
  #sum = 0;
  #max = 0;

  /** Throws RangeError unless `bounds` ascends. */
  constructor(bounds: readonly number[] = DEFAULT_BUCKETS) {
    if (bounds.some((bound, index) => index > 0 && bound <= bounds[index - 1]!)) {
      throw new RangeError(`histogram bounds must ascend, received ${bounds.join(', ')}`);
    }
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  get count(): number {
    return this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  observe(value: number): void {
    if (!Number.isFinite(value)) return;
    let bucket = 0;
    while (bucket < this.bounds.length && value > this.bounds[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.#recent[this.#count % WINDOW] = value;
    this.#max = this.#count === 0 ? value : Math.max(this.#max, value);
    this.#count++;
    this.#sum += value;
  }

  snapshot(): HistogramSnapshot {
    const recent = this.#recent.slice(0, Math.min(this.#count, WINDOW)).sort();
    return {
      count: this.#count,
      sum: this.#sum,
      mean: this.#count === 0 ? 0 : this.#sum / this.#count,
      max: this.#max,
      p50: quantile(recent, 0.5),
      p95: quantile(recent, 0.95),
    };
  }
}

/** The smallest value that at least `fraction` of the ascending `values` do not exceed (nearest rank); 0 of none. */
export function quantile(values: ArrayLike<number>, fraction: number): number {
  if (values.length === 0) return 0;
  const rank = Math.min(values.length, Math.max(1, Math.ceil(fraction * values.length)));
  return values[rank - 1]!;
}
