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
  expect(pause.failed(-5, 0)).toBe(true);
  expect(pauseAfter(0)).toBe(50);
  const later = [100, 1000, 2000, 3000, 5000, 8000, 11_000].map((nowMs) => [
    pause.failed(nowMs - 5, nowMs),
    pauseAfter(nowMs),
  ]);
  expect(later).toEqual([100, 200, 400, 800, 1600, 2000, 2000].map((pauseMs) => [false, pauseMs]));
  pause.succeeded();
  expect(pause.failed(19_995, 20_000)).toBe(true);
  expect(pauseAfter(20_000)).toBe(50);
});

it('a failure that several batches in flight tell of counts once', () => {
  const pause = new DevicePause();
  expect(pause.failed(990, 1000)).toBe(true);
  for (let batch = 1; batch < 8; batch++) expect(pause.failed(990 + batch, 1000 + batch)).toBe(false);
  expect(pause.isOver(1049)).toBe(false);
  expect(pause.isOver(1050)).toBe(true);
  // One that was begun after the pause is another failure.
  pause.failed(1050, 1060);
  expect(pause.isOver(1159)).toBe(false);
  expect(pause.isOver(1160)).toBe(true);
});
