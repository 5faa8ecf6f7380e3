import { describe, expect, it } from 'vitest';
import { interpolateMotion } from './interpolateMotion.ts';
import { type Motion, neutralMotion } from './Motion.ts';

function motion(change: (motion: Motion) => void): Motion {
  const made = neutralMotion();
  change(made);
  return made;
}

describe('interpolateMotion', () => {
  const a = motion((m) => {
    m.pose.yaw = 0.2;
    m.pose.tx = -1;
    m.expression[5] = 0.5;
  });
  const b = motion((m) => {
    m.pose.yaw = 0.4;
    m.pose.tx = 1;
    m.expression[5] = 1;
  });

  it('gives the ends at 0 and 1, and clamps beyond them', () => {
    expect(interpolateMotion(a, b, 0)).toEqual(a);
    expect(interpolateMotion(a, b, 1)).toEqual(b);
    expect(interpolateMotion(a, b, -3)).toEqual(a);
    expect(interpolateMotion(a, b, 3)).toEqual(b);
  });

  it('blends pose and coefficients linearly and leaves its arguments alone', () => {
    const between = interpolateMotion(a, b, 0.25);
    expect(between.pose.yaw).toBeCloseTo(0.25);
    expect(between.pose.tx).toBeCloseTo(-0.5);
    expect(between.expression[5]).toBeCloseTo(0.625);
    expect(a.expression[5]).toBe(0.5);
  });

  it('takes the shorter way round where an angle wraps', () => {
    const from = motion((m) => (m.pose.roll = 3.1));
    const to = motion((m) => (m.pose.roll = -3.1));
    expect(Math.abs(interpolateMotion(from, to, 0.5).pose.roll)).toBeCloseTo(Math.PI, 5);
  });

  it('blends keypoints of one length and takes the nearer where they differ', () => {
    const three = motion((m) => (m.keypoints = Float32Array.of(0, 0, 0)));
    const other = motion((m) => (m.keypoints = Float32Array.of(1, 1, 1)));
    expect([...interpolateMotion(three, other, 0.5).keypoints!]).toEqual([0.5, 0.5, 0.5]);
    expect(interpolateMotion(three, a, 0.4).keypoints).toEqual(three.keypoints);
    expect(interpolateMotion(three, a, 0.6).keypoints).toBeUndefined();
  });
});
