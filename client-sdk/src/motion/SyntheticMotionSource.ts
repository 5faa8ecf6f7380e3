import { type Motion, synthesizeMotion } from '@facewire/proto';
import type { MotionSource } from './MotionSource.ts';

export interface SyntheticMotionOptions {
  /** which person; the same seed moves the same way */
  seed?: number;
  /** motions per second; default 30 */
  rate?: number;
  /** local clock, ms */
  now?: () => number;
}

/** A person who talks, blinks, glances and nods in a natural rhythm. */
export class SyntheticMotionSource implements MotionSource {
  readonly #seed: number;
  readonly #intervalMs: number;
  readonly #now: () => number;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor({ seed = 1, rate = 30, now = () => performance.now() }: SyntheticMotionOptions = {}) {
    if (!(rate > 0 && rate <= 120)) throw new RangeError(`rate ${rate}: expected 1…120 motions per second`);
    this.#seed = seed;
    this.#intervalMs = 1000 / rate;
    this.#now = now;
  }

  start(onMotion: (motion: Motion) => void): void {
    this.stop();
    const startedAtMs = this.#now();
    const tick = (): void => onMotion(synthesizeMotion((this.#now() - startedAtMs) / 1000, this.#seed));
    tick();
    this.#timer = setInterval(tick, this.#intervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
