/**
 * The first byte of every WebSocket message, and of the bytes `motion` and `frame` inside a gRPC envelope. Compact motion
 * packets have a range of their own, 0x40…0xff, whose first byte already carries data: see isCompactMotion().
 */
export const PACKET_KIND = { control: 0x00, motion: 0x01, frame: 0x10 } as const;

export type PacketKind = keyof typeof PACKET_KIND;

/** One fixed-point step of angles, translations, log scale and keypoints: 1/8192, so that an i16 spans −4…3.99988. */
export const FIXED_POINT = 8192;

export function viewOf(packet: Uint8Array): DataView {
  return new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
}
