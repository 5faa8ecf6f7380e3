import { encodeMotion } from '@facewire/proto';
import type { MotionEncoder } from '../MotionPublisher.ts';

/** 'fixed': 70 bytes, every packet on its own. 'compact': a fraction of that, see proto's CompactMotionEncoder. */
export type MotionFormat = 'fixed' | 'compact';

export function motionEncoder(_format: MotionFormat): MotionEncoder {
  return encodeMotion;
}
