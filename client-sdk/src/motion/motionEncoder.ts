import { CompactMotionEncoder, type CompactQuality, encodeMotion } from '@facewire/proto';
import type { MotionEncoder } from '../MotionPublisher.ts';

/** 'fixed': 70 bytes, every packet on its own. 'compact': a fraction of that, each packet builds on the one before. */
export type MotionFormat = 'fixed' | 'compact';

export function motionEncoder(format: MotionFormat): MotionEncoder {
  return format === 'fixed' ? { encode: encodeMotion, reset: () => {} } : compactEncoder();
}

/**
 * On a transport that may lose or reorder packets none may build on another as long as nothing tells which ones came
 * through: then each stands alone.
 */
function compactEncoder(): MotionEncoder {
  let quality: CompactQuality = {};
  let delivery: 'ordered' | 'acknowledged' = 'ordered';
  let encoder = new CompactMotionEncoder();
  return {
    encode: (sample) => encoder.encode(sample),
    reset: () => encoder.reset(),
    configure(wanted) {
      quality = wanted;
      encoder.configure(wanted);
    },
    setOrdered(ordered) {
      const wanted = ordered ? 'ordered' : 'acknowledged';
      if (wanted === delivery) return;
      delivery = wanted;
      encoder = new CompactMotionEncoder({ ...quality, delivery });
    },
  };
}
