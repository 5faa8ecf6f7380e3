import { wrappedDifference } from '@facewire/proto';
import { describe, expect, it } from 'vitest';
import { ServerClock } from './ServerClock.ts';

/** By how much the clock says that 12:00 of the other was off, ms, when the true difference is `behindMs`. */
const errorOf = (clock: ServerClock, behindMs: number) =>
  wrappedDifference(clock.translate(1000), (1000 + Math.round(behindMs)) & 0xffff);

/** A message a second, under way for a millisecond and up to 20 more, over so many seconds. */
function hear(clock: ServerClock, { fromMs = 0, seconds = 60, behindMs = 70_000, drift = 0, wayMs = 1 }): number {
  for (let ms = fromMs; ms < fromMs + seconds * 1000; ms += 1000) {
    const now = ms * (1 + drift) + behindMs;
    clock.handleArrival(ms, now + wayMs + 20 * ((ms / 1000 / 7) % 1));
  }
  return fromMs + seconds * 1000;
}

describe('the clock of another server', () => {
  it('is known to within the shortest way of a message', () => {
    const clock = new ServerClock();
    hear(clock, {});
    expect(errorOf(clock, 70_000)).toBeGreaterThanOrEqual(0);
    expect(errorOf(clock, 70_000)).toBeLessThan(10);
  });

  it('is followed as it drifts, either way', () => {
    for (const drift of [1e-4, -1e-4]) {
      const clock = new ServerClock();
      const endMs = hear(clock, { seconds: 3600, drift });
      expect(Math.abs(errorOf(clock, 70_000 + endMs * drift))).toBeLessThan(20);
    }
  });

  it('is believed again seconds after it stood still, and not for a few late messages', () => {
    const clock = new ServerClock();
    const endMs = hear(clock, {});
    clock.handleArrival(endMs, endMs + 70_000 + 900);
    expect(errorOf(clock, 70_000)).toBeLessThan(10);
    hear(clock, { fromMs: endMs + 1000, behindMs: 73_000, seconds: 5 });
    expect(Math.abs(errorOf(clock, 73_000))).toBeLessThan(25);
  });
});
