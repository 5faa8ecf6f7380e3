import type { FrameHeader } from '@facewire/proto';

/** A delta of VP8 at 256² of stream 1, but for what is given. */
export function frameHeader(change: Partial<FrameHeader> = {}): FrameHeader {
  return {
    keyFrame: false,
    codec: 'vp8',
    stream: 1,
    motionSequence: 0,
    motionTimeMs: 0,
    serverTimeMs: 0,
    width: 256,
    height: 256,
    ...change,
  };
}
