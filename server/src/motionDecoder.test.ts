import { CompactMotionEncoder, encodeMotion, synthesizeMotion } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { createMotionDecoder } from './motionDecoder.ts';

describe('createMotionDecoder', () => {
  it('takes fixed and compact packets in turn on one connection', () => {
    const encoder = new CompactMotionEncoder();
    const decode = createMotionDecoder();
    for (let sequence = 0; sequence < 60; sequence++) {
      const sample = { motion: synthesizeMotion(sequence / 30, 7), sequence, timeMs: sequence * 33 };
      const packet = sequence % 3 === 2 ? encodeMotion(sample) : encoder.encode(sample);
      const decoded = decode(packet);
      expect(decoded.sequence).toBe(sequence);
      expect(decoded.motion.pose.yaw).toBeCloseTo(sample.motion.pose.yaw, 2);
      sample.motion.expression.forEach((value, index) => {
        expect(Math.abs(decoded.motion.expression[index]! - value)).toBeLessThan(0.01);
      });
    }
  });

  it('keeps the players apart: each decoder has a state of its own', () => {
    const encoder = new CompactMotionEncoder();
    const motions = [0, 1, 2].map((index) => synthesizeMotion(index, 3));
    const packets = motions.map((motion, sequence) => encoder.encode({ motion, sequence, timeMs: 0 }));
    const decode = createMotionDecoder();
    expect(() => packets.map(decode)).not.toThrow();
    // A decoder that never saw the first packet cannot read what predicts from it.
    expect(() => createMotionDecoder()(packets[2]!)).toThrow(expect.objectContaining({ code: 'packet_no_baseline' }));
  });
});
