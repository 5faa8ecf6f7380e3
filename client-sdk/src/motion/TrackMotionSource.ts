import { interpolateMotion, type Motion, type MotionTrack, trackToMotions } from '@facewire/proto';
import type { MotionSource } from './MotionSource.ts';

export interface TrackMotionOptions {
  /** motions per second; default 30. In between recorded frames they are interpolated */
  rate?: number;
  /** start over at the end; default true, else the last motion stays */
  loop?: boolean;
  /** where to begin, seconds */
  offsetSeconds?: number;
  /** local clock, ms */
  now?: () => number;
}

/** Plays a recorded motion track. */
export class TrackMotionSource implements MotionSource {
  readonly #motions: readonly Motion[];
  readonly #framesPerSecond: number;
  readonly #options: Required<TrackMotionOptions>;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Throws RangeError for an empty track. */
  constructor(track: MotionTrack, options: TrackMotionOptions = {}) {
    this.#motions = trackToMotions(track);
    if (this.#motions.length === 0) throw new RangeError('the motion track has no frames');
    this.#framesPerSecond = track.fps;
    this.#options = { rate: 30, loop: true, offsetSeconds: 0, now: () => performance.now(), ...options };
  }

  /** length of the track, seconds */
  get durationSeconds(): number {
    return this.#motions.length / this.#framesPerSecond;
  }

  /** The motion at a time, interpolated. @param timeSeconds since the track's beginning, ≥ 0 */
  at(timeSeconds: number): Motion {
    const count = this.#motions.length;
    const position = Math.max(0, timeSeconds) * this.#framesPerSecond;
    const index = Math.floor(position);
    const at = (frame: number): Motion =>
      this.#motions[this.#options.loop ? frame % count : Math.min(frame, count - 1)]!;
    return interpolateMotion(at(index), at(index + 1), position - index);
  }

  start(onMotion: (motion: Motion) => void): void {
    this.stop();
    const { now, offsetSeconds, rate } = this.#options;
    const startedAtMs = now();
    const tick = (): void => onMotion(this.at(offsetSeconds + (now() - startedAtMs) / 1000));
    tick();
    this.#timer = setInterval(tick, 1000 / rate);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
