import { describe, expect, it } from 'vitest';
import { FacewireError } from '../errors.ts';
import { type MotionSample, neutralMotion } from '../motion/Motion.ts';
import { decodeMotion, encodeMotion, MAX_KEYPOINTS, MOTION_PACKET_BYTES } from './motionPacket.ts';

function sample(change: (sample: MotionSample) => void = () => {}): MotionSample {
  const made: MotionSample = { motion: neutralMotion(), sequence: 1, timeMs: 2 };
  change(made);
  return made;
}

function patched(at: number, value: number, packet = encodeMotion(sample())): Uint8Array {
  packet[at] = value;
  return packet;
}

function errorOf(action: () => unknown): FacewireError {
  try {
    action();
  } catch (error) {
    if (error instanceof FacewireError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('fixed motion packet', () => {
  it('is exactly 70 bytes without keypoints and 71 + 6·K with them', () => {
    expect(encodeMotion(sample())).toHaveLength(70);
    for (const count of [1, 21, MAX_KEYPOINTS]) {
      const packet = encodeMotion(sample((s) => (s.motion.keypoints = new Float32Array(count * 3))));
      expect(packet).toHaveLength(71 + 6 * count);
      expect(decodeMotion(packet).motion.keypoints).toHaveLength(count * 3);
    }
  });

  it('re-encodes to the same bytes once decoded, whatever valid bytes it held', () => {
    for (let round = 0; round < 200; round++) {
      const packet = new Uint8Array(MOTION_PACKET_BYTES).map((_, at) => (round * 37 + at * 101 + round * at) & 0xff);
      packet[0] = 1;
      packet[1] = 0;
      for (const high of [7, 9, 11]) packet[high] = (round + high) % 100; // angles within π
      expect(encodeMotion(decodeMotion(packet))).toEqual(packet);
    }
  });

  it('wraps angles, clamps the rest, and takes sequence and time modulo 65536', () => {
    const decoded = decodeMotion(
      encodeMotion(
        sample((s) => {
          s.motion.pose = { pitch: 0.1 + 2 * Math.PI, yaw: -Math.PI - 0.1, roll: 1, tx: 99, ty: -99, logScale: 5 };
          s.motion.expression[17] = 1.7;
          s.motion.expression[18] = -0.2;
          s.sequence = 65536 + 5;
          s.timeMs = -1;
        }),
      ),
    );
    expect(decoded.motion.pose.pitch).toBeCloseTo(0.1, 3);
    expect(decoded.motion.pose.yaw).toBeCloseTo(Math.PI - 0.1, 3);
    expect(decoded.motion.pose.tx).toBe(32767 / 8192);
    expect(decoded.motion.pose.ty).toBe(-4);
    expect(decoded.motion.pose.logScale).toBe(32767 / 8192);
    expect(decoded.motion.expression[17]).toBe(1);
    expect(decoded.motion.expression[18]).toBe(0);
    expect(decoded.sequence).toBe(5);
    expect(decoded.timeMs).toBe(65535);
  });

  it('keeps nothing of the packet that it decoded', () => {
    const packet = encodeMotion(sample((s) => s.motion.expression.fill(1)));
    const decoded = decodeMotion(packet);
    packet.fill(0);
    expect(decoded.motion.expression[0]).toBe(1);
  });

  it('decodes a packet that lies inside a larger buffer', () => {
    const packet = encodeMotion(sample((s) => (s.motion.pose.yaw = 0.5)));
    const larger = new Uint8Array(200).fill(0xee);
    larger.set(packet, 33);
    expect(decodeMotion(larger.subarray(33, 103)).motion.pose.yaw).toBe(0.5);
  });

  it('refuses every truncation of a packet, with and without keypoints', () => {
    for (const packet of [
      encodeMotion(sample()),
      encodeMotion(sample((s) => (s.motion.keypoints = new Float32Array(6)))),
    ]) {
      for (let length = 0; length < packet.length; length++) {
        expect(errorOf(() => decodeMotion(packet.subarray(0, length))).code).toBe('packet_truncated');
      }
    }
  });

  it.each([
    ['one byte too many', () => new Uint8Array([...encodeMotion(sample()), 0]), 'packet_oversized'],
    ['another kind', () => patched(0, 0x10), 'packet_unknown_kind'],
    ['the compact kind', () => patched(0, 2), 'packet_unknown_kind'],
    ['a reserved flag', () => patched(1, 2), 'packet_bad_value'],
    ['a pitch of 4 rad', () => patched(7, 0x7f), 'packet_bad_value'],
    [
      'no keypoints though the flag says so',
      () => patched(1, 1, new Uint8Array([1, ...new Uint8Array(70)])),
      'packet_bad_value',
    ],
    ['129 keypoints', () => patched(70, 129, withFlag(71 + 6 * 129)), 'packet_bad_value'],
    ['fewer keypoints than counted', () => patched(70, 3, withFlag(71 + 6 * 2)), 'packet_truncated'],
    ['more keypoints than counted', () => patched(70, 1, withFlag(71 + 6 * 2)), 'packet_oversized'],
  ])('refuses %s with the value received and a remedy', (_, make, code) => {
    const error = errorOf(() => decodeMotion(make()));
    expect(error.code).toBe(code);
    expect(error.received).toMatch(/\d/);
    expect(error.remedy).toBeTruthy();
  });

  it.each([
    ['NaN in the pose', (s: MotionSample) => (s.motion.pose.yaw = Number.NaN)],
    ['an infinite translation', (s: MotionSample) => (s.motion.pose.tx = Number.POSITIVE_INFINITY)],
    ['NaN in the expression', (s: MotionSample) => (s.motion.expression[3] = Number.NaN)],
    ['51 coefficients', (s: MotionSample) => (s.motion.expression = new Float32Array(51))],
    ['NaN in the keypoints', (s: MotionSample) => (s.motion.keypoints = Float32Array.of(0, Number.NaN, 0))],
    ['keypoints that are no triples', (s: MotionSample) => (s.motion.keypoints = new Float32Array(4))],
    ['129 keypoints', (s: MotionSample) => (s.motion.keypoints = new Float32Array(129 * 3))],
    ['a sequence that is no number', (s: MotionSample) => (s.sequence = Number.NaN)],
  ])('does not encode %s', (_, change) => {
    expect(errorOf(() => encodeMotion(sample(change))).code).toBe('packet_bad_value');
  });
});

function withFlag(length: number): Uint8Array {
  const packet = new Uint8Array(length);
  packet.set([1, 1]);
  return packet;
}
