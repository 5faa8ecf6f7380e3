import { FacewireError } from '../errors.ts';
import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import type { HeadPose, MotionSample } from '../motion/Motion.ts';
import { FIXED_POINT, PACKET_KIND, viewOf } from './packetKind.ts';

/**
 * The fixed motion packet, little endian (docs/protocol.md):
 *
 *   0 u8 kind 0x01 | 1 u8 flags | 2 u16 sequence | 4 u16 timeMs
 *   6 i16 pitch | 8 i16 yaw | 10 i16 roll | 12 i16 tx | 14 i16 ty | 16 i16 logScale, each × 8192
 *  18 u8[52] expression × 255
 *  70 u8 K, 71 i16[K·3] keypoints × 8192, only when flag bit 0 is set
 */
export const MOTION_PACKET_BYTES = 70;
export const MAX_KEYPOINTS = 128;

const FLAGS_AT = 1;
const SEQUENCE_AT = 2;
const TIME_AT = 4;
const POSE_AT = 6;
const EXPRESSION_AT = 18;
const KEYPOINT_COUNT_AT = 70;
const KEYPOINTS_AT = 71;
const BYTES_PER_KEYPOINT = 6;

const HAS_KEYPOINTS = 0b1;
const EXPRESSION_STEPS = 255;
const I16_MAX = 32767;
const I16_MIN = -32768;
/** π in fixed point, rounded up by the rounding of the encoder: the largest angle that a packet may hold */
const ANGLE_LIMIT = Math.round(Math.PI * FIXED_POINT);

const POSE_FIELDS = ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const satisfies readonly (keyof HeadPose)[];
const ANGLE_FIELDS = 3;

/**
 * Encodes one motion as 70 bytes (71 + 6·K with keypoints).
 *
 * Angles are wrapped to ±π, translations, log scale and keypoints clamped to −4…3.99988, coefficients to 0…1; sequence
 * and time are taken modulo 65536. Rounding: at most 1/16384 for pose and keypoints, 1/510 for a coefficient.
 * Throws packet_bad_value when a number is not finite or an array has the wrong length.
 */
export function encodeMotion(sample: MotionSample): Uint8Array {
  const { pose, expression, keypoints } = sample.motion;
  if (expression.length !== EXPRESSION_COUNT) {
    throw new FacewireError('packet_bad_value', `expression has ${expression.length} coefficients, expected 52`, {
      received: expression.length,
      remedy: 'fill all of EXPRESSION_NAMES, zero where nothing is known',
    });
  }
  const count = keypoints === undefined ? 0 : keypoints.length / 3;
  if (keypoints !== undefined && (!Number.isInteger(count) || count < 1 || count > MAX_KEYPOINTS)) {
    throw new FacewireError(
      'packet_bad_value',
      `keypoints have ${keypoints.length} numbers, expected K×3 with K 1…128`,
      {
        received: keypoints.length,
        remedy: 'leave `keypoints` out when the model has none',
      },
    );
  }
  const packet = new Uint8Array(
    keypoints === undefined ? MOTION_PACKET_BYTES : KEYPOINTS_AT + count * BYTES_PER_KEYPOINT,
  );
  const view = viewOf(packet);
  view.setUint8(0, PACKET_KIND.motion);
  view.setUint8(FLAGS_AT, keypoints === undefined ? 0 : HAS_KEYPOINTS);
  view.setUint16(SEQUENCE_AT, wrap16(sample.sequence, 'sequence'), true);
  view.setUint16(TIME_AT, wrap16(sample.timeMs, 'timeMs'), true);
  POSE_FIELDS.forEach((field, index) => {
    const value = finite(pose[field], field);
    const fixed = toFixed(index < ANGLE_FIELDS ? wrapAngle(value) : value);
    view.setInt16(POSE_AT + index * 2, fixed, true);
  });
  for (let index = 0; index < EXPRESSION_COUNT; index++) {
    const value = finite(expression[index]!, `expression[${index}]`);
    packet[EXPRESSION_AT + index] = Math.round(Math.min(1, Math.max(0, value)) * EXPRESSION_STEPS);
  }
  if (keypoints !== undefined) {
    view.setUint8(KEYPOINT_COUNT_AT, count);
    for (let index = 0; index < keypoints.length; index++) {
      view.setInt16(KEYPOINTS_AT + index * 2, toFixed(finite(keypoints[index]!, `keypoints[${index}]`)), true);
    }
  }
  return packet;
}

/**
 * Decodes a fixed motion packet. The result owns its arrays and keeps nothing of `packet`.
 * Throws packet_truncated, packet_oversized, packet_unknown_kind or packet_bad_value (reserved flags, an angle beyond
 * ±π, a keypoint count outside 1…128).
 */
export function decodeMotion(packet: Uint8Array): MotionSample {
  if (packet.length === 0) throw truncated(packet.length, MOTION_PACKET_BYTES);
  if (packet[0] !== PACKET_KIND.motion) {
    throw new FacewireError(
      'packet_unknown_kind',
      `packet kind 0x${packet[0]!.toString(16)} is no fixed motion (0x1)`,
      {
        received: packet[0],
        remedy: 'the first byte of a fixed motion packet is 0x01',
      },
    );
  }
  if (packet.length < MOTION_PACKET_BYTES) throw truncated(packet.length, MOTION_PACKET_BYTES);
  const flags = packet[FLAGS_AT]!;
  if ((flags & ~HAS_KEYPOINTS) !== 0) {
    throw new FacewireError('packet_bad_value', `motion flags 0x${flags.toString(16)} set reserved bits`, {
      received: flags,
      remedy: 'only bit 0 (keypoints follow) is defined in protocol version 1; send the others as 0',
    });
  }
  const hasKeypoints = (flags & HAS_KEYPOINTS) !== 0;
  const count = hasKeypoints ? keypointCount(packet) : 0;
  const expected = hasKeypoints ? KEYPOINTS_AT + count * BYTES_PER_KEYPOINT : MOTION_PACKET_BYTES;
  if (packet.length < expected) throw truncated(packet.length, expected);
  if (packet.length > expected) {
    throw new FacewireError('packet_oversized', `motion packet has ${packet.length} bytes, expected ${expected}`, {
      received: packet.length,
      remedy: 'send one packet per message and nothing after it',
    });
  }

  const view = viewOf(packet);
  const pose: HeadPose = { pitch: 0, yaw: 0, roll: 0, tx: 0, ty: 0, logScale: 0 };
  POSE_FIELDS.forEach((field, index) => {
    const fixed = view.getInt16(POSE_AT + index * 2, true);
    if (index < ANGLE_FIELDS && Math.abs(fixed) > ANGLE_LIMIT) {
      throw new FacewireError('packet_bad_value', `${field} is ${fixed / FIXED_POINT} rad, expected −π…π`, {
        received: fixed,
        remedy: 'wrap angles to ±π before scaling by 8192',
      });
    }
    pose[field] = fixed / FIXED_POINT;
  });
  const expression = new Float32Array(EXPRESSION_COUNT);
  for (let index = 0; index < EXPRESSION_COUNT; index++) {
    expression[index] = packet[EXPRESSION_AT + index]! / EXPRESSION_STEPS;
  }
  const sample: MotionSample = {
    motion: { pose, expression },
    sequence: view.getUint16(SEQUENCE_AT, true),
    timeMs: view.getUint16(TIME_AT, true),
  };
  if (hasKeypoints) {
    const keypoints = new Float32Array(count * 3);
    for (let index = 0; index < keypoints.length; index++) {
      keypoints[index] = view.getInt16(KEYPOINTS_AT + index * 2, true) / FIXED_POINT;
    }
    sample.motion.keypoints = keypoints;
  }
  return sample;
}

function keypointCount(packet: Uint8Array): number {
  if (packet.length <= KEYPOINT_COUNT_AT) throw truncated(packet.length, KEYPOINTS_AT + BYTES_PER_KEYPOINT);
  const count = packet[KEYPOINT_COUNT_AT]!;
  if (count < 1 || count > MAX_KEYPOINTS) {
    throw new FacewireError('packet_bad_value', `keypoint count is ${count}, expected 1…${MAX_KEYPOINTS}`, {
      received: count,
      remedy: 'clear flag bit 0 when there are no keypoints',
    });
  }
  return count;
}

function truncated(received: number, expected: number): FacewireError {
  return new FacewireError('packet_truncated', `motion packet has ${received} bytes, expected ${expected}`, {
    received,
    remedy: 'send the whole packet in one message',
  });
}

function finite(value: number, field: string): number {
  if (Number.isFinite(value)) return value;
  throw new FacewireError('packet_bad_value', `${field} is ${value}, expected a finite number`, {
    received: String(value),
    remedy: 'drop the frame when the tracker loses the face',
  });
}

function toFixed(value: number): number {
  return Math.min(I16_MAX, Math.max(I16_MIN, Math.round(value * FIXED_POINT)));
}

/** To −π…π. Values that are there already are left exactly as they are. */
function wrapAngle(radians: number): number {
  return Math.abs(radians) <= Math.PI ? radians : radians - 2 * Math.PI * Math.round(radians / (2 * Math.PI));
}

function wrap16(value: number, field: string): number {
  const whole = Math.floor(finite(value, field)) % 65536;
  return whole < 0 ? whole + 65536 : whole;
}
