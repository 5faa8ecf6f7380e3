import type { FrameCodec } from '../control.ts';
import { FacewireError } from '../errors.ts';
import { PACKET_KIND, viewOf } from './packetKind.ts';

/**
 * The frame packet, little endian (docs/protocol.md):
 *
 *   0 u8 kind 0x10 | 1 u8 flags (bit 0 key frame) | 2 u8 codec (0 jpeg, 1 vp8, 2 vp9) | 3 u8 0
 *   4 u32 stream | 8 u16 motionSequence | 10 u16 motionTimeMs | 12 u32 serverTimeMs | 16 u16 width | 18 u16 height
 *  20 payload: one encoded picture
 */
export const FRAME_HEADER_BYTES = 20;

/** Index = the byte on the wire. */
export const FRAME_CODECS = ['jpeg', 'vp8', 'vp9'] as const satisfies readonly FrameCodec[];

const FLAGS_AT = 1;
const CODEC_AT = 2;
const RESERVED_AT = 3;
const STREAM_AT = 4;
const MOTION_SEQUENCE_AT = 8;
const MOTION_TIME_AT = 10;
const SERVER_TIME_AT = 12;
const WIDTH_AT = 16;
const HEIGHT_AT = 18;

const KEY_FRAME = 0b1;
const U16_LIMIT = 0x1_0000;
const U32_LIMIT = 0x1_0000_0000;

export interface FrameHeader {
  /** decodable without any earlier frame; always true for jpeg */
  keyFrame: boolean;
  codec: FrameCodec;
  /** the number that `subscribed` gave */
  stream: number;
  /** sequence and time of the motion that the picture shows (0 and 0 before the participant's first motion) */
  motionSequence: number;
  motionTimeMs: number;
  /** the server's clock when the frame was ready to be sent, drawn and encoded, ms modulo 2^32 */
  serverTimeMs: number;
  /** pixels */
  width: number;
  height: number;
}

/**
 * Encodes one frame; copies the payload. Times and the sequence are floored and taken modulo their width.
 * Throws packet_bad_value when a field does not fit, packet_truncated when there is no payload.
 */
export function encodeFrame(header: FrameHeader, payload: Uint8Array): Uint8Array {
  if (payload.length === 0) throw noPayload(FRAME_HEADER_BYTES);
  const codec = FRAME_CODECS.indexOf(header.codec as (typeof FRAME_CODECS)[number]);
  if (codec < 0) throw badValue('codec', header.codec, 'jpeg, vp8 or vp9');
  if (!isWhole(header.stream, 0, U32_LIMIT - 1)) throw badValue('stream', header.stream, 'a whole number below 2^32');
  if (!isWhole(header.width, 1, U16_LIMIT - 1)) throw badValue('width', header.width, '1…65535 pixels');
  if (!isWhole(header.height, 1, U16_LIMIT - 1)) throw badValue('height', header.height, '1…65535 pixels');
  const packet = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  const view = viewOf(packet);
  view.setUint8(0, PACKET_KIND.frame);
  view.setUint8(FLAGS_AT, header.keyFrame ? KEY_FRAME : 0);
  view.setUint8(CODEC_AT, codec);
  view.setUint32(STREAM_AT, header.stream, true);
  view.setUint16(MOTION_SEQUENCE_AT, wrap(header.motionSequence, U16_LIMIT, 'motionSequence'), true);
  view.setUint16(MOTION_TIME_AT, wrap(header.motionTimeMs, U16_LIMIT, 'motionTimeMs'), true);
  view.setUint32(SERVER_TIME_AT, wrap(header.serverTimeMs, U32_LIMIT, 'serverTimeMs'), true);
  view.setUint16(WIDTH_AT, header.width, true);
  view.setUint16(HEIGHT_AT, header.height, true);
  packet.set(payload, FRAME_HEADER_BYTES);
  return packet;
}

/**
 * Decodes a frame packet. `payload` is a view into `packet`, not a copy.
 * Throws packet_truncated, packet_unknown_kind or packet_bad_value.
 */
export function decodeFrame(packet: Uint8Array): { header: FrameHeader; payload: Uint8Array } {
  if (packet.length === 0) throw noPayload(0);
  if (packet[0] !== PACKET_KIND.frame) {
    throw new FacewireError('packet_unknown_kind', `packet kind 0x${packet[0]!.toString(16)} is no frame (0x10)`, {
      received: packet[0],
      remedy: 'the first byte of a frame packet is 0x10',
    });
  }
  if (packet.length <= FRAME_HEADER_BYTES) throw noPayload(packet.length);
  const flags = packet[FLAGS_AT]!;
  if ((flags & ~KEY_FRAME) !== 0) throw badValue('flags', flags, '0 or 1; the other bits are reserved');
  const codec = FRAME_CODECS[packet[CODEC_AT]!];
  if (codec === undefined) throw badValue('codec', packet[CODEC_AT]!, '0 jpeg, 1 vp8 or 2 vp9');
  if (packet[RESERVED_AT] !== 0) throw badValue('byte 3', packet[RESERVED_AT]!, '0; it is reserved');
  const view = viewOf(packet);
  const width = view.getUint16(WIDTH_AT, true);
  const height = view.getUint16(HEIGHT_AT, true);
  if (width === 0) throw badValue('width', width, '1…65535 pixels');
  if (height === 0) throw badValue('height', height, '1…65535 pixels');
  return {
    header: {
      keyFrame: (flags & KEY_FRAME) !== 0,
      codec,
      stream: view.getUint32(STREAM_AT, true),
      motionSequence: view.getUint16(MOTION_SEQUENCE_AT, true),
      motionTimeMs: view.getUint16(MOTION_TIME_AT, true),
      serverTimeMs: view.getUint32(SERVER_TIME_AT, true),
      width,
      height,
    },
    payload: packet.subarray(FRAME_HEADER_BYTES),
  };
}

function noPayload(received: number): FacewireError {
  return new FacewireError('packet_truncated', `frame packet has ${received} bytes, expected 20 and a payload`, {
    received,
    remedy: 'pass the whole message; a frame is never split over several',
  });
}

function badValue(field: string, received: unknown, expected: string): FacewireError {
  return new FacewireError('packet_bad_value', `frame ${field} is ${received}, expected ${expected}`, {
    received,
    remedy: 'see the frame packet in docs/protocol.md',
  });
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

function wrap(value: number, limit: number, field: string): number {
  if (!Number.isFinite(value)) throw badValue(field, String(value), 'a finite number');
  const whole = Math.floor(value) % limit;
  return whole < 0 ? whole + limit : whole;
}
