import { CompactMotionDecoder, decodeMotion, isCompactMotion, type MotionSample } from '@facewire/proto';

/**
 * One per player: takes the fixed layout and the compact one on the same connection. Compact packets predict from those
 * before them, so each player has a decoder of its own.
 */
export function createMotionDecoder(): (packet: Uint8Array) => MotionSample {
  const compact = new CompactMotionDecoder();
  return (packet) => (isCompactMotion(packet[0] ?? 0) ? compact.decode(packet) : decodeMotion(packet));
}
