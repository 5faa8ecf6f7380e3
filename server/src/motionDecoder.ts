import { CompactMotionDecoder, decodeMotion, FacewireError, isCompactMotion, type MotionSample } from '@facewire/proto';

/**
 * One per player: takes the fixed layout and the compact one on the same connection. Compact packets predict from those
 * before them, so each player has a decoder of its own.
 *
 * Throws what CompactMotionDecoder and decodeMotion throw. A chained packet whose counter does not move on
 * (packet_stale) is a repeated one, or the first after three were lost: nothing tells which, and to build on a wrong
 * guess would show a wrong face from there on. So all that follow are refused (packet_no_baseline) until one comes that
 * stands alone.
 */
export function createMotionDecoder(): (packet: Uint8Array) => MotionSample {
  let compact = new CompactMotionDecoder();
  return (packet) => {
    if (!isCompactMotion(packet[0] ?? 0)) return decodeMotion(packet);
    try {
      return compact.decode(packet);
    } catch (error) {
      if (error instanceof FacewireError && error.code !== 'packet_no_baseline') compact = new CompactMotionDecoder();
      throw error;
    }
  };
}
