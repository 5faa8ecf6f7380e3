/** Weight of the newest measurement. */
const SMOOTHING = 0.2;

/**
 * How many pictures of a size fit into the time of one frame, from the renders measured so far. Larger batches would
 * only show older motion: what does not fit is planned anew, with newer motion, when the batch is done.
 */
export class RenderBudget {
  readonly #budgetMs: number;
  readonly #maxBatch: number;
  readonly #msPerPicture = new Map<number, number>();

  constructor(budgetMs: number, maxBatch: number) {
    this.#budgetMs = budgetMs;
    this.#maxBatch = maxBatch;
  }

  /** 1…maxBatch */
  maxPictures(size: number): number {
    const cost = this.#msPerPicture.get(size);
    if (cost === undefined || cost <= 0) return this.#maxBatch;
    return Math.max(1, Math.min(this.#maxBatch, Math.floor(this.#budgetMs / cost)));
  }

  measured(size: number, pictures: number, elapsedMs: number): void {
    const cost = elapsedMs / pictures;
    const known = this.#msPerPicture.get(size);
    this.#msPerPicture.set(size, known === undefined ? cost : known + SMOOTHING * (cost - known));
  }
}
