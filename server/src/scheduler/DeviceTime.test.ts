import { expect, test } from 'vitest';
import { DeviceTime } from './DeviceTime.ts';

test('of two runs that share the device, each costs the time that was its own', () => {
  const time = new DeviceTime();
  const lanes = { count: 2, apart: false };
  expect(time.ended(0, 20, lanes)).toEqual({ runMs: 20, busyMs: 20 });
  expect(time.ended(5, 32, lanes)).toEqual({ runMs: 12, busyMs: 12 });
  expect(time.ended(40, 50, lanes)).toEqual({ runMs: 10, busyMs: 10 });
});

test('of runs with a processor each, each costs all of its time, and keeps one lane busy', () => {
  const time = new DeviceTime();
  const lanes = { count: 4, apart: true };
  const runs = [20, 22, 24, 24].map((endMs) => time.ended(0, endMs, lanes));
  expect(runs.map(({ runMs }) => runMs)).toEqual([20, 22, 24, 24]);
  // 90 of 96 ms that the four lanes had
  expect(runs.reduce((sum, { busyMs }) => sum + busyMs, 0)).toBe(22.5);
});
