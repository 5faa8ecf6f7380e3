import { describe, expect, it } from 'vitest';
import { batchMs } from './batchCost.ts';
import { RenderBudget } from './RenderBudget.ts';
import { guessedShape, RunTimes } from './RunTimes.ts';

const slowMs = (pictures: number) => 11 + 13.4 * pictures;
/** a device on which pictures wait for each other */
const oneByOneMs = (pictures: number) => 1 + 25 * pictures;
const timesOf = (ms: (pictures: number) => number) => [1, 2, 4, 8].map((pictures) => ({ pictures, ms: ms(pictures) }));

describe('RunTimes', () => {
  it('is what was believed before the first run, and that stretched after it', () => {
    const times = new RunTimes(timesOf(slowMs));
    expect(times.batchTimes).toEqual(timesOf(slowMs));
    times.add(2, 3 * slowMs(2));
    for (const pictures of [1, 2, 8]) expect(batchMs(times.batchTimes, pictures)).toBeCloseTo(3 * slowMs(pictures));
  });

  it('guesses that a run costs by itself what a picture does, so that larger ones are tried', () => {
    const times = new RunTimes(guessedShape(8));
    times.add(1, 20);
    expect(batchMs(times.batchTimes, 2)).toBeCloseTo(30);
    times.add(1, 20);
    expect(batchMs(times.batchTimes, 8)).toBeCloseTo(90);
    expect(new RunTimes(guessedShape(1)).batchTimes).toHaveLength(1);
  });

  it.each([
    ['a guess', guessedShape(8)],
    ['a calibration of another machine', timesOf(oneByOneMs)],
  ])('comes from %s to what a run costs by itself and for each picture, when runs have several sizes', (_, shape) => {
    const times = new RunTimes(shape);
    for (let run = 0; run < 60; run++) times.add(1 + (run % 4), slowMs(1 + (run % 4)));
    for (const pictures of [1, 4, 8]) {
      expect(Math.abs(batchMs(times.batchTimes, pictures) / slowMs(pictures) - 1)).toBeLessThan(0.1);
    }
  });

  it('follows a device that becomes slower within a few runs', () => {
    const times = new RunTimes(timesOf(slowMs));
    for (let run = 0; run < 40; run++) times.add(1 + (run % 2), slowMs(1 + (run % 2)));
    for (let run = 0; run < 10; run++) times.add(1 + (run % 2), 2 * slowMs(1 + (run % 2)));
    expect(batchMs(times.batchTimes, 2) / (2 * slowMs(2))).toBeGreaterThan(0.85);
  });

  it('never takes a run for one that costs nothing by itself, or whose pictures cost less than nothing', () => {
    const times = new RunTimes(guessedShape(8));
    for (const [pictures, ms] of [
      [1, 2],
      [4, 90],
      [1, 1],
    ] as const) {
      times.add(pictures, ms);
      const [first, last] = times.batchTimes;
      expect(first!.ms).toBeGreaterThan(0);
      expect(last!.ms).toBeGreaterThanOrEqual(first!.ms);
    }
  });
});

describe('RenderBudget of a slow device', () => {
  /** Batch sizes of 200 runs that take `ms`, of which the first twenty count as learning. */
  function settledSizes(budget: RenderBudget, ms: (pictures: number) => number): number[] {
    const sizes = Array.from({ length: 200 }, () => {
      const pictures = budget.maxPictures(128);
      budget.measured(128, pictures, ms(pictures));
      return pictures;
    });
    return sizes.slice(20);
  }
  const options = { budgetMs: 16, longestMs: 66, maxBatch: 8 };
  const share = (sizes: number[], wanted: number) => sizes.filter((size) => size === wanted).length / sizes.length;

  it('finds the size that a calibration would give, where there is none', () => {
    const budget = new RenderBudget(options);
    expect(budget.maxPictures(128)).toBe(8);
    expect(budget.msPerPicture(128)).toBeUndefined();
    budget.measured(128, 1, slowMs(1));
    expect(budget.maxPictures(128)).toBeGreaterThan(1);
    expect(share(settledSizes(budget, slowMs), 2)).toBeGreaterThan(0.8);
    expect(budget.msPerPicture(128)).toBeCloseTo(slowMs(2) / 2, 0);
    expect(share(settledSizes(new RenderBudget(options), oneByOneMs), 1)).toBeGreaterThan(0.8);
  });

  it('makes shorter runs where several share the device, but not where each has a processor of its own', () => {
    const choice = (apart: boolean) =>
      new RenderBudget({ ...options, lanes: () => ({ count: 2, apart }), batchTimes: () => timesOf(slowMs) });
    expect(choice(false).maxPictures(128)).toBe(1);
    expect(choice(true).maxPictures(128)).toBe(2);
  });

  it('begins with one picture a run where there are several processors and nothing was measured', () => {
    const budget = new RenderBudget({ ...options, lanes: () => ({ count: 8, apart: true }) });
    expect(budget.maxPictures(128)).toBe(1);
    budget.measured(128, 1, slowMs(1));
    expect(budget.maxPictures(128)).toBe(2);
    expect(budget.maxPictures(512)).toBe(1);
  });

  it('forgets a calibration that promised more than batches bring', () => {
    const budget = new RenderBudget({ ...options, batchTimes: () => timesOf(slowMs) });
    expect(budget.maxPictures(128)).toBe(2);
    // while it only ever draws two at once it cannot know; one that comes alone tells
    for (let run = 0; run < 5; run++) budget.measured(128, 1, oneByOneMs(1));
    expect(share(settledSizes(budget, oneByOneMs), 1)).toBeGreaterThan(0.8);
  });

  it('begins anew with a calibration that comes later', () => {
    const calibration: { pictures: number; ms: number }[] = [];
    let times = calibration;
    const budget = new RenderBudget({ ...options, batchTimes: () => times });
    for (let run = 0; run < 50; run++) budget.measured(128, 1, 60);
    times = timesOf(slowMs);
    expect(budget.maxPictures(128)).toBe(2);
  });
});
