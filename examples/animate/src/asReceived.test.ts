import { neutralMotion } from '@facewire/proto';
import { expect, test } from 'vitest';
import { asReceived } from './asReceived.ts';

const turning = Array.from({ length: 90 }, (_, frame) => {
  const motion = neutralMotion();
  motion.pose.yaw = 0.4 * Math.sin(frame / 12);
  return motion;
});

test('ten packets a second move a face in every picture, a little behind', () => {
  const shown = asReceived(turning, 30, 10);
  expect(shown).toHaveLength(90);
  const yaws = shown.slice(30).map(({ pose }) => pose.yaw);
  for (let n = 1; n < yaws.length; n++) {
    expect(Math.abs(yaws[n]! - yaws[n - 1]!)).toBeLessThan(0.06);
  }
  expect(new Set(yaws).size).toBe(60);
  const off = (lag: number) =>
    Math.max(...shown.slice(30).map(({ pose }, n) => Math.abs(pose.yaw - turning[n + 30 - lag]!.pose.yaw)));
  expect(Math.min(off(1), off(2), off(3))).toBeLessThan(0.04);
});

test('more packets than the track has motions make no sense', () => {
  expect(() => asReceived(turning, 30, 60)).toThrow(RangeError);
});
