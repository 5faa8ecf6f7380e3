import { CompactMotionEncoder, encodeMotion } from '@facewire/proto';
import type { MotionEncoder } from '../MotionPublisher.ts';

/** 'fixed': 70 bytes, every packet on its own. 'compact': a fraction of that, each packet builds on the one before. */
export type MotionFormat = 'fixed' | 'compact';

export function motionEncoder(format: MotionFormat): MotionEncoder {
  if (format === 'fixed') return { encode: encodeMotion, reset: () => {} };
  return new CompactMotionEncoder();
}
