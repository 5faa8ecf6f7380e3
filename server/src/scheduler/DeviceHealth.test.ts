import { expect, it } from 'vitest';
import { DeviceHealth } from './DeviceHealth.ts';

it('a device fails when it has failed for 3 seconds on end, until it draws', () => {
  const health = new DeviceHealth();
  expect(health.isFailing(0)).toBe(false);
  for (const nowMs of [1000, 2000, 3900]) health.failed(nowMs);
  expect(health.isFailing(4000)).toBe(false);
  health.failed(4000);
  expect(health.isFailing(4000)).toBe(true);
  health.drew();
  expect(health.isFailing(4001)).toBe(false);
  health.failed(5000);
  expect(health.isFailing(5001)).toBe(false);
});

it('a failing device that nobody asks any more counts as well, so that somebody may ask it', () => {
  const health = new DeviceHealth();
  for (const nowMs of [0, 3000]) health.failed(nowMs);
  expect(health.isFailing(12_999)).toBe(true);
  expect(health.isFailing(13_000)).toBe(false);
});
