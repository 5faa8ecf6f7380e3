import { expect, it } from 'vitest';
import { DevicePause } from './DevicePause.ts';

it('a device that fails is asked again ever more rarely, after 2 seconds at most, and anew once it has worked', () => {
  const pause = new DevicePause();
  expect(pause.isOver(0)).toBe(true);
  /** how long it pauses after failing at that time */
  const pauseAfter = (nowMs: number) => {
    let waitedMs = 0;
    while (!pause.isOver(nowMs + waitedMs)) waitedMs += 50;
    return waitedMs;
  };
  expect(pause.failed(0)).toBe(true);
  expect(pauseAfter(0)).toBe(50);
  const later = [100, 1000, 2000, 3000, 5000, 8000, 11_000].map((nowMs) => [pause.failed(nowMs), pauseAfter(nowMs)]);
  expect(later).toEqual([100, 200, 400, 800, 1600, 2000, 2000].map((pauseMs) => [false, pauseMs]));
  pause.succeeded();
  expect(pause.failed(20_000)).toBe(true);
  expect(pauseAfter(20_000)).toBe(50);
});
