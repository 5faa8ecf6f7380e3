/** Estimates are renewed so often, ms. */
const WINDOW_MS = 1_000;
/** Until the first estimate; a page that compiles its shaders must not be flooded meanwhile. */
const FIRST_GUESS = 10;

/** How often something is drawn, per second. */
export class DrawRate {
  #perSecond = FIRST_GUESS;
  #count = 0;
  #sinceMs: number | undefined;

  /** Call once per drawn frame. */
  handleDrawn(nowMs: number): void {
    this.#sinceMs ??= nowMs;
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs >= WINDOW_MS) {
      this.#perSecond = (this.#count * 1000) / elapsedMs;
      this.#count = 0;
      this.#sinceMs = nowMs;
    }
    this.#count++;
  }

  get perSecond(): number {
    return this.#perSecond;
  }
}
