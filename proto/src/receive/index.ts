export {
  type Arrival,
  accept,
  createJitterBuffer,
  delayOf,
  type JitterBuffer,
  type JitterBufferOptions,
  playheadAt,
} from './jitterBuffer.ts';
export { motionAt, type Playout, type PlayoutOptions } from './motionAt.ts';
export { type Smoothed, type SmoothOptions, smoothMotion } from './smoothMotion.ts';
