import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ClientControl, ServerControl } from '../control.ts';
import { EXPRESSION_INDEX, type ExpressionName } from '../motion/expressions.ts';
import { type HeadPose, type MotionSample, neutralMotion } from '../motion/Motion.ts';
import { decodeClientControl, decodeServerControl, encodeControl } from './controlPacket.ts';
import { decodeFrame, encodeFrame, type FrameHeader } from './framePacket.ts';
import { decodeMotion, encodeMotion } from './motionPacket.ts';

interface Vector {
  name: string;
  bytes: { field: string; hex: string }[];
}

interface MotionVector extends Vector {
  sample: {
    sequence: number;
    timeMs: number;
    pose: HeadPose;
    expression: Partial<Record<ExpressionName, number>>;
    keypoints?: number[][];
  };
}

function load<V extends Vector>(file: string): V[] {
  return JSON.parse(readFileSync(new URL(`../../golden/${file}.json`, import.meta.url), 'utf8')) as V[];
}

const hexOf = (vector: Vector) => vector.bytes.map((piece) => piece.hex).join('');
const packetOf = (vector: Vector) => Uint8Array.from(Buffer.from(hexOf(vector), 'hex'));
const toHex = (packet: Uint8Array) => Buffer.from(packet).toString('hex');

function sampleOf({ sample }: MotionVector): MotionSample {
  const motion = neutralMotion();
  motion.pose = sample.pose;
  for (const [name, value] of Object.entries(sample.expression)) {
    motion.expression[EXPRESSION_INDEX[name as ExpressionName]] = value;
  }
  if (sample.keypoints !== undefined) motion.keypoints = Float32Array.from(sample.keypoints.flat());
  return { motion, sequence: sample.sequence, timeMs: sample.timeMs };
}

describe('golden vectors, which golden/make.py writes without this codec', () => {
  it.each(load<MotionVector>('motion'))('motion "$name" encodes to its bytes and decodes to its fields', (vector) => {
    const sample = sampleOf(vector);
    expect(toHex(encodeMotion(sample))).toBe(hexOf(vector));
    const decoded = decodeMotion(packetOf(vector));
    expect(decoded.sequence).toBe(sample.sequence);
    expect(decoded.timeMs).toBe(sample.timeMs);
    for (const [field, value] of Object.entries(sample.motion.pose)) {
      expect(Math.abs(decoded.motion.pose[field as keyof HeadPose] - value)).toBeLessThanOrEqual(1 / 16384);
    }
    sample.motion.expression.forEach((value, index) => {
      expect(Math.abs(decoded.motion.expression[index]! - value)).toBeLessThanOrEqual(1 / 510 + 1e-6);
    });
    expect(decoded.motion.keypoints?.length).toBe(sample.motion.keypoints?.length);
    sample.motion.keypoints?.forEach((value, index) => {
      expect(Math.abs(decoded.motion.keypoints![index]! - value)).toBeLessThanOrEqual(1 / 16384);
    });
  });

  it.each(load<Vector & { header: FrameHeader; payload: string }>('frame'))(
    'frame "$name" encodes to its bytes and decodes to its fields',
    (vector) => {
      expect(toHex(encodeFrame(vector.header, Buffer.from(vector.payload, 'hex')))).toBe(hexOf(vector));
      const { header, payload } = decodeFrame(packetOf(vector));
      expect(header).toEqual(vector.header);
      expect(toHex(payload)).toBe(vector.payload);
    },
  );

  it.each(load<Vector & { message: ClientControl }>('clientControl'))(
    'client message "$name" encodes to its bytes and decodes to its fields',
    (vector) => {
      expect(toHex(encodeControl(vector.message))).toBe(hexOf(vector));
      expect(decodeClientControl(packetOf(vector))).toEqual(vector.message);
    },
  );

  it.each(load<Vector & { message: ServerControl }>('serverControl'))(
    'server message "$name" encodes to its bytes and decodes to its fields',
    (vector) => {
      expect(toHex(encodeControl(vector.message))).toBe(hexOf(vector));
      expect(decodeServerControl(packetOf(vector))).toEqual(vector.message);
    },
  );
});
