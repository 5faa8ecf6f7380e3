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

  it.each([1, 2, 3])('after %i lost packets shows nothing wrong until one comes that stands alone', (lost) => {
    const encoder = new CompactMotionEncoder();
    const decode = createMotionDecoder();
    const lossless = createMotionDecoder();
    const refused: string[] = [];
    for (let sequence = 0; sequence < 40; sequence++) {
      if (sequence === 30) encoder.reset();
      const packet = encoder.encode({ motion: synthesizeMotion(sequence / 30, 7), sequence, timeMs: sequence * 33 });
      const truth = lossless(packet);
      if (sequence >= 10 && sequence < 10 + lost) continue;
      try {
        expect(decode(packet)).toEqual(truth);
      } catch (error) {
        refused.push((error as { code: string }).code);
      }
    }
    expect(refused).toHaveLength(20 - lost);
    expect(refused.slice(1).every((code) => code === 'packet_no_baseline')).toBe(true);
  });

  it('notices by what they decode to that four packets were lost, which their counter does not tell', () => {
    for (let trial = 0; trial < 40; trial++) {
      const encoder = new CompactMotionEncoder();
      const decode = createMotionDecoder();
      const lostAt = 20 + (trial % 20);
      let [wrong, noticed] = [0, false];
      for (let sequence = 0; sequence < 120 && !noticed; sequence++) {
        const motion = synthesizeMotion(3 * trial + sequence / 30, 1 + (trial % 7));
        const packet = encoder.encode({ motion, sequence, timeMs: sequence * 33 });
        if (sequence >= lostAt && sequence < lostAt + 4) continue;
        try {
          if (decode(packet).sequence !== sequence) wrong++;
        } catch {
          noticed = true;
        }
      }
      expect(noticed).toBe(true);
      expect(wrong).toBeLessThan(10);
    }
  });

  it('after a malformed compact packet waits for one that stands alone', () => {
    const encoder = new CompactMotionEncoder();
    const decode = createMotionDecoder();
    const sampleAt = (sequence: number) => ({ motion: synthesizeMotion(sequence / 30, 7), sequence, timeMs: 0 });
    decode(encoder.encode(sampleAt(0)));
    expect(() => decode(Uint8Array.of(0x7f))).toThrow();
    expect(() => decode(encoder.encode(sampleAt(1)))).toThrow(expect.objectContaining({ code: 'packet_no_baseline' }));
    encoder.reset();
    expect(decode(encoder.encode(sampleAt(2))).sequence).toBe(2);
  });
});
