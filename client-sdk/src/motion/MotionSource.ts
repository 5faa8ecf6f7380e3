import type { Motion } from '@facewire/proto';

/** Something that makes faces move: a tracker, a recording, a synthesiser. */
export interface MotionSource {
  /** Calls back with every new motion until stop(). Starting twice starts over. */
  start(onMotion: (motion: Motion) => void): void;
  /** may be called twice */
  stop(): void;
}
