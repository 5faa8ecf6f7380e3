import { describe, expect, it } from 'vitest';
import { EventQueue } from './simulation/EventQueue.ts';
import { simulateScheduler } from './simulation/simulateScheduler.ts';

/** 64 pictures in 3.2 ms: 20,000 frames/s */
const LARGE = { fixedMs: 0.64, perPictureMs: 0.04, maxBatch: 64 };
/** 16 pictures in 10 ms: 1,600 frames/s */
const SMALL = { fixedMs: 2, perPictureMs: 0.5, maxBatch: 16 };
const ENOUGH = { encodeWorkers: 64 };

describe('the scheduler on a simulated device', () => {
  it('gives the same figures for the same seed, and others for another', () => {
    const run = (seed: number) => {
      const { planMs: _, tickMs: __, ...figures } = simulateScheduler({ avatars: 40, device: SMALL, seed, seconds: 1 });
      return figures;
    };
    expect(run(3)).toEqual(run(3));
    expect(run(4)).not.toEqual(run(3));
  });

  it.each([10, 100, 300])(
    'gives %i avatars all of their 30 frames/s, within 66 ms, while the device has room',
    (avatars) => {
      const result = simulateScheduler({ avatars, device: LARGE, ...ENOUGH, seconds: 1 });
      expect(result.framesPerSecond).toBeGreaterThan(0.97 * 30 * avatars);
      expect(result.fairness).toBeGreaterThan(0.95);
      expect(result.latencyMs.p95).toBeLessThan(66);
      expect(result.deviceBusy).toBeLessThan(0.9);
    },
  );

  it.each([
    ['1,000 on a large device', { avatars: 1000, device: LARGE, seconds: 1 }, 20_000],
    ['300 on a small one', { avatars: 300, device: SMALL, seconds: 3 }, 1600],
    ['200 of two rates', { avatars: 200, device: SMALL, rates: [15, 30], seconds: 3 }, 1600],
  ])('%s, more than it can draw: it stays busy, all rates fall alike, and frames are no older', (_, options, most) => {
    const result = simulateScheduler({ ...options, ...ENOUGH });
    expect(result.deviceBusy).toBeGreaterThan(0.97);
    expect(result.framesPerSecond).toBeGreaterThan(0.93 * most);
    expect(result.fairness).toBeGreaterThan(0.9);
    expect(result.latencyMs.p95).toBeLessThan(66);
  });

  it.each([
    ['calibrated', true],
    ['not measured beforehand', false],
  ])('on a slow device, %s, several streams share a run: a quarter more frames, none much older', (_, calibrated) => {
    const device = { fixedMs: 11, perPictureMs: 13.4, maxBatch: 8, calibrated };
    const options = { avatars: 4, device, encodeWorkers: 2, encodeMs: 1, seconds: 10 };
    const short = simulateScheduler({ ...options, longestRenderMs: 16 });
    const turn = simulateScheduler(options);
    expect(short.meanBatch).toBeCloseTo(1, 1);
    expect(turn.framesPerSecond).toBeGreaterThan(1.25 * short.framesPerSecond);
    expect(turn.latencyMs.p95).toBeLessThan(80);
    expect(turn.fairness).toBeGreaterThan(0.95);
  });

  it('leaves batches small where pictures only wait for each other', () => {
    const device = { fixedMs: 2, perPictureMs: 24, maxBatch: 8, calibrated: true };
    const { meanBatch, latencyMs } = simulateScheduler({ avatars: 4, device, seconds: 5 });
    expect(meanBatch).toBeCloseTo(1, 1);
    expect(latencyMs.p95).toBeLessThan(66);
  });

  it('is fair to three streams whose batches have room for two', () => {
    const device = { fixedMs: 11, perPictureMs: 13.4, maxBatch: 2, calibrated: true };
    expect(simulateScheduler({ avatars: 3, device, seconds: 6 }).fairness).toBeGreaterThan(0.97);
  });

  describe('with eight lanes of the CPU, 27 ms a picture each', () => {
    const lane = { fixedMs: 5.4, perPictureMs: 21.6, maxBatch: 8, calibrated: true };
    const cores = { encodeWorkers: 8, encodeMs: 0.5, seconds: 5 };
    const eight = { ...cores, device: lane, rendersInFlight: 8, apart: true };
    /** two runs of four threads each, planned as if they shared one processor: as it was before */
    const quick = { ...lane, fixedMs: 0.6 * lane.fixedMs, perPictureMs: 0.6 * lane.perPictureMs };
    const two = { ...cores, device: quick, rendersInFlight: 2 };

    it.each([1, 4, 8])('%i avatars have all of their frames, at most a run and a packet old', (avatars) => {
      const result = simulateScheduler({ ...eight, avatars });
      expect(result.framesPerSecond).toBeGreaterThan(0.98 * 30 * avatars);
      expect(result.latencyMs.p95).toBeLessThan(46);
      expect(result.meanBatch).toBeLessThan(1.02);
    });

    it('a lone avatar waits for a tick and its run, and keeps an eighth of four fifths busy', () => {
      const { latencyMs, reportedBusy } = simulateScheduler({ ...eight, avatars: 1 });
      expect(latencyMs.p50).toBeLessThan(27 + 5);
      expect(latencyMs.p95).toBeLessThan(27 * 1.1 + 1000 / 120 + 1);
      expect(reportedBusy).toBeCloseTo((30 * 27) / 8000, 2);
    });

    it.each([8, 16, 32])('%i avatars get more than 1.6 times the frames of two lanes, and fresher ones', (avatars) => {
      const before = simulateScheduler({ ...two, avatars });
      const now = simulateScheduler({ ...eight, avatars });
      expect(now.framesPerSecond).toBeGreaterThan(1.6 * before.framesPerSecond);
      expect(now.latencyMs.p95).toBeLessThan(0.75 * before.latencyMs.p95);
    });

    it.each([16, 32])(
      '%i, more than it can draw: all lanes are busy and known to be, and rates fall alike',
      (avatars) => {
        const result = simulateScheduler({ ...eight, avatars });
        expect(result.framesPerSecond).toBeGreaterThan(0.97 * (8000 / 27));
        expect(result.deviceBusy).toBeGreaterThan(0.98);
        expect(result.reportedBusy).toBeGreaterThan(0.97);
        expect(result.fairness).toBeGreaterThan(0.97);
        expect(result.latencyMs.p95).toBeLessThan(66);
      },
    );

    it('batches grow where runs gain enough by it, and only when there are more pictures than lanes', () => {
      const device = { ...lane, fixedMs: 11, perPictureMs: 13.4 };
      const sizes = [4, 8, 16].map((avatars) => simulateScheduler({ ...eight, device, avatars }).meanBatch);
      expect(sizes[0]).toBeCloseTo(1, 1);
      expect(sizes[1]).toBeLessThan(1.1);
      expect(sizes[2]).toBeGreaterThan(1.9);
      expect(sizes[2]).toBeLessThan(2.1);
    });

    it('are planned as well before anything was measured', () => {
      const device = { ...lane, calibrated: false };
      for (const avatars of [8, 16]) {
        const { framesPerSecond, latencyMs } = simulateScheduler({ ...eight, device, avatars });
        expect(framesPerSecond).toBeGreaterThan(0.97 * Math.min(30 * avatars, 8000 / 27));
        expect(latencyMs.p95).toBeLessThan(90);
      }
    });
  });

  it.each([
    [2, 60],
    [4, 74],
  ])(
    'on two lanes of the CPU %i avatars get what they got, and the device is told to be as busy as it is',
    (avatars, least) => {
      const device = { fixedMs: 5.4, perPictureMs: 21.6, maxBatch: 8, calibrated: true };
      const options = { avatars, device, rendersInFlight: 2, encodeWorkers: 2, encodeMs: 0.5, seconds: 5 };
      const apart = simulateScheduler({ ...options, apart: true });
      const sharing = simulateScheduler(options);
      expect(apart.framesPerSecond).toBeGreaterThan(0.98 * least);
      expect(apart.framesPerSecond).toBeGreaterThan(0.99 * sharing.framesPerSecond);
      expect(apart.latencyMs.p95).toBeLessThan(1.05 * sharing.latencyMs.p95);
      expect(Math.abs(apart.reportedBusy - apart.deviceBusy)).toBeLessThan(0.02);
    },
  );

  it('starves neither size when both wait', () => {
    const options = { avatars: 200, device: SMALL, sizes: [128, 256], ...ENOUGH, seconds: 3 };
    expect(simulateScheduler(options).fairness).toBeGreaterThan(0.8);
  });

  it('goes on at full throughput with 10,000 avatars, and nobody goes without a frame', () => {
    const device = { fixedMs: 1, perPictureMs: 0.05, maxBatch: 512 };
    const result = simulateScheduler({ avatars: 10_000, device, encodeWorkers: 256, renderBudgetMs: 30, seconds: 0.8 });
    expect(result.deviceBusy).toBeGreaterThan(0.97);
    // 512 pictures in 26.6 ms, and the last batch is not finished
    expect(result.framesPerSecond).toBeGreaterThan(0.9 * (512 / 0.0266));
    expect(result.fairness).toBeGreaterThan(0.5);
  });

  it('draws no more than the encoders can take when they are the limit, so that frames stay fresh', () => {
    const options = { avatars: 600, device: LARGE, encodeWorkers: 8, seconds: 1 };
    const { framesPerSecond, picturesPerSecond, latencyMs } = simulateScheduler(options);
    expect(framesPerSecond).toBeGreaterThan(0.9 * (8 / 0.0009));
    expect(picturesPerSecond).toBeLessThan(1.05 * framesPerSecond);
    expect(latencyMs.p95).toBeLessThan(66);
  });

  it('draws everybody smaller when rates have halved and that lasts: then all have their rate again', () => {
    const options = { avatars: 130, device: SMALL, seconds: 12, encodeWorkers: 64, encodeMs: 0.3 };
    const large = simulateScheduler(options);
    expect(large).toMatchObject({ reduced: 0 });
    expect(large.framesPerSecond).toBeLessThan(1700);
    const reduced = simulateScheduler({ ...options, reduceTo: [128] });
    expect(reduced.reduced).toBeGreaterThan(0.7);
    expect(reduced.framesPerSecond).toBeGreaterThan(1.8 * large.framesPerSecond);
    expect(reduced.fairness).toBeGreaterThan(0.9);
    expect(simulateScheduler({ ...options, avatars: 75, reduceTo: [128] }).reduced).toBe(0);
  });

  it('gives those who move their rate, however many others are still', () => {
    const result = simulateScheduler({ avatars: 3000, moving: 0.1, device: LARGE, ...ENOUGH, seconds: 1 });
    expect(result.framesPerSecond).toBeGreaterThan(0.95 * 300 * 30);
    expect(result.latencyMs.p50).toBeLessThan(40);
  });

  it('begins a picture when its packet comes, not when the next turn does: most frames are a tick and a run old', () => {
    const { latencyMs, framesPerSecond } = simulateScheduler({ avatars: 100, device: LARGE, ...ENOUGH, seconds: 3 });
    expect(framesPerSecond).toBeGreaterThan(0.99 * 3000);
    expect(framesPerSecond).toBeLessThan(1.04 * 3000);
    expect(latencyMs.p50).toBeLessThan(8);
    expect(latencyMs.p95).toBeLessThan(24);
  });

  it('draws nothing more for viewers who want fewer frames: they take the pictures of those who want most', () => {
    const options = { avatars: 100, viewers: 3, rates: [30, 15, 10], device: LARGE, ...ENOUGH, seconds: 3 };
    const { framesPerSecond, picturesPerSecond } = simulateScheduler(options);
    expect(framesPerSecond).toBeGreaterThan(0.97 * 5500);
    expect(picturesPerSecond).toBeLessThan(1.04 * 3000);
  });

  it('draws a picture once for all who see it', () => {
    const { framesPerSecond, picturesPerSecond } = simulateScheduler({
      avatars: 20,
      viewers: 8,
      device: LARGE,
      seconds: 1,
    });
    expect(framesPerSecond / picturesPerSecond).toBeCloseTo(8, 1);
  });
});

describe('EventQueue', () => {
  it('runs events by time, those of one time in order, and leaves what is later', () => {
    const events = new EventQueue();
    const happened: string[] = [];
    for (const [delay, name] of [
      [5, 'c'],
      [1, 'a'],
      [5, 'd'],
      [9, 'late'],
      [2, 'b'],
    ] as const) {
      events.after(delay, () => happened.push(name));
    }
    events.after(5, () => events.after(1, () => happened.push(`e at ${events.nowMs}`)));
    events.run(8);
    expect(happened).toEqual(['a', 'b', 'c', 'd', 'e at 6']);
    expect(events.nowMs).toBe(8);
  });
});
