import { describe, expect, it } from 'vitest';
import { backoffDelay, DEFAULT_RECONNECT } from './backoff.ts';
import { ClockSync } from './ClockSync.ts';
import { StreamMeter } from './StreamMeter.ts';

const HEADER = { keyFrame: true, codec: 'jpeg', stream: 1, serverTimeMs: 0, width: 128, height: 128 } as const;

describe('ClockSync', () => {
  it('believes the shortest of the newest round trips', () => {
    let now = 0;
    const clock = new ClockSync(() => now);
    // True offset 5000: the pong is stamped after the way there, and the way back is slow for the second one.
    now = 1_010;
    clock.handlePong(1_000, 1_005 + 5_000);
    now = 2_200;
    clock.handlePong(2_000, 2_005 + 5_000);
    expect(clock.offsetMs).toBeCloseTo(5_000);
    expect(clock.roundTripMs).toBe(10);
    expect(clock.serverNow()).toBeCloseTo(7_200);
  });

  it('follows a clock that drifts once the old round trips are forgotten', () => {
    let now = 0;
    const clock = new ClockSync(() => now);
    clock.handlePong(0, 5_000);
    for (let trip = 1; trip <= 12; trip++) {
      now = trip * 1_000 + 4;
      clock.handlePong(trip * 1_000, trip * 1_000 + 2 + 5_100);
    }
    expect(clock.offsetMs).toBeCloseTo(5_100);
  });

  it('takes no measurement from a pong of the future or a broken number', () => {
    const clock = new ClockSync(() => 100);
    clock.handlePong(200, 1);
    clock.handlePong(50, Number.NaN);
    expect(clock.roundTripMs).toBeUndefined();
  });
});

describe('StreamMeter', () => {
  it('measures rate, bitrate and the percentiles of latency over a wrap of the 16-bit clock', () => {
    const meter = new StreamMeter();
    for (let frame = 0; frame < 100; frame++) {
      const nowMs = frame * 40;
      const serverNowMs = 65_536 * 3 + nowMs;
      const motionTimeMs = (serverNowMs - (frame % 10 === 9 ? 90 : 30)) & 0xffff;
      meter.handleFrame({ ...HEADER, motionSequence: frame, motionTimeMs }, 1_000, nowMs, serverNowMs);
    }
    const stats = meter.stats(99 * 40);
    expect(stats.framesPerSecond).toBeCloseTo(25, 0);
    expect(stats.bitrate / 1_000).toBeCloseTo(200, -1);
    expect(stats.latencyMs).toEqual({ p50: 30, p95: 90 });
    expect(stats.received).toBe(100);
  });

  it('knows no latency before a frame came', () => {
    expect(new StreamMeter().stats(0)).toMatchObject({ framesPerSecond: 0, latencyMs: undefined, size: 0 });
  });
});

describe('backoffDelay', () => {
  it('doubles up to its maximum and keeps at least half of it', () => {
    const delays = [1, 2, 3, 20].map((attempt) => backoffDelay(attempt, DEFAULT_RECONNECT, 1));
    expect(delays).toEqual([250, 500, 1_000, 10_000]);
    expect(backoffDelay(20, DEFAULT_RECONNECT, 0)).toBe(5_000);
  });
});
