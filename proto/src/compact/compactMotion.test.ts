import { describe, expect, it } from 'vitest';
import { EXPRESSION_COUNT } from '../motion/expressions.ts';
import { type Motion, type MotionSample, neutralMotion } from '../motion/Motion.ts';
import { synthesizeMotion } from '../motion/synthesizeMotion.ts';
import { CompactMotionDecoder, isCompactMotion } from './CompactMotionDecoder.ts';
import { CompactMotionEncoder } from './CompactMotionEncoder.ts';
import { SETTING_BITS } from './CompactSettings.ts';
import { codeHeader } from './packetHeader.ts';
import { RangeCoder } from './rangeCoder.ts';

const POSE = ['pitch', 'yaw', 'roll', 'tx', 'ty', 'logScale'] as const;

function sampleAt(index: number, keypoints = 0): MotionSample {
  const motion = synthesizeMotion(index / 30, 7);
  if (keypoints > 0) {
    motion.keypoints = Float32Array.from({ length: 3 * keypoints }, (_, at) => 0.2 * Math.sin(index / 9 + at));
  }
  return { motion, sequence: index & 0xffff, timeMs: Math.round((index * 1000) / 30) & 0xffff };
}

function largestErrors(a: Motion, b: Motion): { pose: number; expression: number; keypoints: number } {
  const largest = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
    Array.from(x).reduce((most, each, index) => Math.max(most, Math.abs(each - y[index]!)), 0);
  return {
    pose: largest(
      POSE.map((name) => a.pose[name]),
      POSE.map((name) => b.pose[name]),
    ),
    expression: largest(a.expression, b.expression),
    keypoints: largest(a.keypoints ?? [], b.keypoints ?? []),
  };
}

/** A chained packet that is due, but whose settings have a denominator of 0. */
function withBadSettings(counter: number): Uint8Array {
  const coder = new RangeCoder();
  const buffer = new Uint8Array(64);
  coder.startEncoding(buffer);
  codeHeader(coder, { kind: 'chained', counter, step: 1 });
  coder.code(1, 64);
  coder.codeRaw(1, 1);
  for (const [, bits] of SETTING_BITS) coder.codeRaw(0, bits);
  return buffer.slice(0, coder.finishEncoding());
}

const codeOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'nothing thrown';
};

describe('compact motion on an ordered transport', () => {
  it('comes back within half a step (coefficients 33/64), with its sequence and time', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    for (let index = 0; index < 300; index++) {
      const sample = sampleAt(index);
      const packet = encoder.encode(sample);
      expect(isCompactMotion(packet[0]!)).toBe(true);
      const result = decoder.decode(packet);
      expect([result.sequence, result.timeMs]).toEqual([sample.sequence, sample.timeMs]);
      const errors = largestErrors(result.motion, sample.motion);
      expect(errors.pose).toBeLessThanOrEqual(0.5 / 256 + 1e-9);
      expect(errors.expression).toBeLessThanOrEqual(33 / 64 / 52 + 1e-6);
    }
  });

  it('does not flicker where a coefficient lies between two steps', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const shown = Array.from({ length: 20 }, (_, index) => {
      const sample = { ...sampleAt(0), sequence: index };
      const edge = 10.5 / 52 + (index % 2 === 0 ? 0.0001 : -0.0001);
      sample.motion.expression[17] = edge;
      return decoder.decode(encoder.encode(sample)).motion.expression[17]!;
    });
    expect(new Set(shown).size).toBe(1);
    expect(Math.abs(shown[0]! - 10.5 / 52)).toBeLessThan(0.01);
  });

  it('is a fraction of the fixed 70 bytes once it runs', () => {
    const encoder = new CompactMotionEncoder();
    const sizes = Array.from({ length: 300 }, (_, index) => encoder.encode(sampleAt(index)).length);
    expect(sizes.reduce((sum, size) => sum + size) / sizes.length).toBeLessThan(20);
  });

  it('carries keypoints, alone or beside coefficients', () => {
    for (const expressionCount of [0, EXPRESSION_COUNT]) {
      const encoder = new CompactMotionEncoder({ expressionCount });
      const decoder = new CompactMotionDecoder();
      for (let index = 0; index < 60; index++) {
        const sample = sampleAt(index, 20);
        const { motion } = decoder.decode(encoder.encode(sample));
        expect(largestErrors(motion, sample.motion).keypoints).toBeLessThanOrEqual(0.5 / 256 + 1e-6);
        if (expressionCount === 0) expect(Math.max(...motion.expression)).toBe(0);
      }
    }
  });

  it('keeps extremes within their range and wraps angles', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const wild = neutralMotion();
    Object.assign(wild.pose, { pitch: 3.5, yaw: -3.14, tx: 99, ty: -99, logScale: 4 });
    wild.expression.fill(7);
    decoder.decode(encoder.encode({ motion: neutralMotion(), sequence: 0, timeMs: 0 }));
    const { motion } = decoder.decode(encoder.encode({ motion: wild, sequence: 1, timeMs: 33 }));
    expect(motion.pose.pitch).toBeCloseTo(3.5 - 2 * Math.PI, 2);
    expect([motion.pose.tx, motion.pose.ty, motion.pose.logScale]).toEqual([4, -4, 4]);
    expect(Array.from(motion.expression)).toEqual(new Array(EXPRESSION_COUNT).fill(1));
  });

  it('follows skipped sequence numbers, pauses and the wrap of both counters', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const steps = [65530, 65531, 65535, 3, 4, 900, 901].map((sequence, index) => ({
      ...sampleAt(index),
      sequence,
      timeMs: [65400, 65433, 20, 52, 20000, 20033, 20070][index]!,
    }));
    for (const sample of steps) {
      const result = decoder.decode(encoder.encode(sample));
      expect([result.sequence, result.timeMs]).toEqual([sample.sequence, sample.timeMs]);
    }
  });

  it('changes steps and length in the middle without a self-contained packet', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    for (let index = 0; index < 30; index++) decoder.decode(encoder.encode(sampleAt(index)));
    encoder.configure({ poseStep: 1 / 64, expressionStep: 1 / 16, expressionCount: 20 });
    for (let index = 30; index < 60; index++) {
      const sample = sampleAt(index);
      const packet = encoder.encode(sample);
      const { motion } = decoder.decode(packet);
      expect(packet.length).toBeLessThan(30);
      expect(largestErrors(motion, sample.motion).pose).toBeLessThanOrEqual(0.5 / 64);
      expect(motion.expression.filter((each) => each > 0).length).toBeLessThanOrEqual(20);
    }
    encoder.configure({ poseStep: 1 / 512, expressionStep: 1 / 64, expressionCount: 52 });
    const last = sampleAt(60);
    const errors = largestErrors(decoder.decode(encoder.encode(last)).motion, last.motion);
    expect(errors.expression).toBeLessThanOrEqual(33 / 64 / 64 + 1e-6);
  });

  it('refuses what it cannot build on, and goes on after a self-contained packet', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const packets = Array.from({ length: 6 }, (_, index) => encoder.encode(sampleAt(index)));
    expect(codeOf(() => decoder.decode(packets[1]!))).toBe('packet_no_baseline');
    decoder.decode(packets[0]!);
    decoder.decode(packets[1]!);
    expect(codeOf(() => decoder.decode(packets[1]!))).toBe('packet_stale');
    decoder.decode(packets[2]!);
    expect(codeOf(() => decoder.decode(packets[4]!))).toBe('packet_no_baseline');
    expect(codeOf(() => decoder.decode(packets[5]!))).toBe('packet_no_baseline');
    encoder.reset();
    expect(decoder.decode(encoder.encode(sampleAt(6))).sequence).toBe(6);
    expect(decoder.decode(encoder.encode(sampleAt(7))).sequence).toBe(7);
  });

  it('is not disturbed by malformed packets in between', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const clean = new CompactMotionDecoder();
    for (let index = 0; index < 60; index++) {
      const packet = encoder.encode(sampleAt(index));
      if (packet.length > 8) {
        expect(codeOf(() => decoder.decode(Uint8Array.of(...packet, 0)))).toMatch(/^packet_/);
        expect(codeOf(() => decoder.decode(packet.subarray(0, 2)))).toMatch(/^packet_/);
      }
      expect(decoder.decode(packet)).toEqual(clean.decode(packet));
    }
  });

  it('is not disturbed by a packet that goes wrong before its first scalar', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const clean = new CompactMotionDecoder();
    for (let index = 0; index < 30; index++) {
      const packet = encoder.encode(sampleAt(index));
      if (index > 0) expect(codeOf(() => decoder.decode(withBadSettings(index & 3)))).toBe('packet_bad_value');
      expect(decoder.decode(packet)).toEqual(clean.decode(packet));
    }
  });

  it('is not disturbed by a self-contained packet that goes wrong, before a chain or in the middle of one', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const clean = new CompactMotionDecoder();
    const cut = new CompactMotionEncoder().encode(sampleAt(9)).subarray(0, 20);
    for (let index = 0; index < 30; index++) {
      if (index % 10 === 5) encoder.reset();
      const packet = encoder.encode(sampleAt(index));
      expect(codeOf(() => decoder.decode(cut))).toBe('packet_truncated');
      expect(decoder.decode(packet)).toEqual(clean.decode(packet));
    }
  });

  it('gives motions that later ones do not change, though they share buffers', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    const shown = Array.from({ length: 100 }, (_, index) => decoder.decode(encoder.encode(sampleAt(index))).motion);
    const again = new CompactMotionDecoder();
    const other = new CompactMotionEncoder();
    shown.forEach((motion, index) => {
      expect(motion.expression).toEqual(again.decode(other.encode(sampleAt(index))).motion.expression);
    });
  });

  it('leaves the encoder as it was when a motion is not finite', () => {
    const encoder = new CompactMotionEncoder();
    const decoder = new CompactMotionDecoder();
    decoder.decode(encoder.encode(sampleAt(0)));
    const broken = sampleAt(1);
    broken.motion.expression[3] = Number.NaN;
    expect(codeOf(() => encoder.encode(broken))).toBe('packet_bad_value');
    expect(decoder.decode(encoder.encode(sampleAt(1))).sequence).toBe(1);
  });

  it('names empty packets and other kinds', () => {
    const decoder = new CompactMotionDecoder();
    expect(codeOf(() => decoder.decode(new Uint8Array(0)))).toBe('packet_truncated');
    expect(codeOf(() => decoder.decode(Uint8Array.of(0x02, 1, 2)))).toBe('packet_unknown_kind');
  });
});

describe('compact motion on a lossy transport', () => {
  it('survives loss, delay, repetition and reordering: what decodes is exact', () => {
    const encoder = new CompactMotionEncoder({ delivery: 'acknowledged' });
    const decoder = new CompactMotionDecoder();
    let random = 12345;
    const chance = (): number => {
      random = (Math.imul(random, 1103515245) + 12345) >>> 0;
      return random / 2 ** 32;
    };
    const late: { packet: Uint8Array; due: number; index: number }[] = [];
    const acknowledgements: { sequence: number; due: number }[] = [];
    let decoded = 0;
    for (let index = 0; index < 600; index++) {
      for (const { sequence, due } of acknowledgements) if (due === index) encoder.acknowledge(sequence);
      const packet = encoder.encode(sampleAt(index));
      if (chance() > 0.2) late.push({ packet, index, due: index + 1 + Math.floor(chance() * 4) });
      if (chance() < 0.1) late.push({ packet, index, due: index + 3 });
      for (const each of late.filter(({ due }) => due === index)) {
        const sample = sampleAt(each.index);
        const result = decoder.decode(each.packet);
        expect(result.sequence).toBe(sample.sequence);
        expect(result.timeMs).toBe(sample.timeMs);
        expect(largestErrors(result.motion, sample.motion).expression).toBeLessThanOrEqual(33 / 64 / 52 + 1e-6);
        decoded++;
        if (chance() > 0.2) acknowledgements.push({ sequence: result.sequence, due: index + 3 });
      }
    }
    expect(decoded).toBeGreaterThan(450);
  });

  it('sends self-contained packets until the first acknowledgement and after a long silence of the receiver', () => {
    const encoder = new CompactMotionEncoder({ delivery: 'acknowledged' });
    const decode = (packet: Uint8Array): number => new CompactMotionDecoder().decode(packet).sequence;
    expect(decode(encoder.encode(sampleAt(0)))).toBe(0);
    expect(decode(encoder.encode(sampleAt(1)))).toBe(1);
    encoder.acknowledge(1);
    expect(codeOf(() => decode(encoder.encode(sampleAt(2))))).toBe('packet_no_baseline');
    for (let index = 3; index < 66; index++) encoder.encode(sampleAt(index));
    expect(decode(encoder.encode(sampleAt(66)))).toBe(66);
  });

  it('ignores acknowledgements of packets that it never sent', () => {
    const encoder = new CompactMotionEncoder({ delivery: 'acknowledged' });
    const decoder = new CompactMotionDecoder();
    decoder.decode(encoder.encode(sampleAt(0)));
    encoder.acknowledge(0);
    encoder.acknowledge(77);
    encoder.acknowledge(64);
    expect(decoder.decode(encoder.encode(sampleAt(1))).sequence).toBe(1);
  });
});

describe('compact quality', () => {
  it('throws on steps and counts out of range', () => {
    expect(() => new CompactMotionEncoder({ poseStep: 0 })).toThrow(RangeError);
    expect(() => new CompactMotionEncoder({ expressionStep: 1 / 2000 })).toThrow(RangeError);
    expect(() => new CompactMotionEncoder().configure({ expressionCount: 53 })).toThrow(RangeError);
  });
});
