import { describe, expect, it } from 'vitest';
import { batchMs } from './batchCost.ts';
import { RenderBudget } from './RenderBudget.ts';
import { RunTimes } from './RunTimes.ts';

const slowMs = (pictures: number) => 11 + 13.4 * pictures;

describe('RunTimes', () => {
  it('knows nothing before the first run', () => {
    expect(new RunTimes(8).batchTimes).toEqual([]);
  });

  it('takes a run for as dear as a picture at first, so that larger ones are tried', () => {
    const times = new RunTimes(8);
    times.add(1, 20);
    expect(batchMs(times.batchTimes, 1)).toBeCloseTo(20);
    expect(batchMs(times.batchTimes, 2)).toBeCloseTo(30);
  });

  it('finds what a run costs by itself and for each picture, from runs of several sizes', () => {
    const times = new RunTimes(8);
    for (let run = 0; run < 60; run++) times.add(1 + (run % 4), slowMs(1 + (run % 4)));
    for (const pictures of [1, 4, 8]) {
      expect(Math.abs(batchMs(times.batchTimes, pictures) / slowMs(pictures) - 1)).toBeLessThan(0.02);
    }
  });

  it('follows a device that becomes slower', () => {
    const times = new RunTimes(8);
    for (let run = 0; run < 40; run++) times.add(1 + (run % 2), slowMs(1 + (run % 2)));
    for (let run = 0; run < 100; run++) times.add(1 + (run % 2), 2 * slowMs(1 + (run % 2)));
    expect(batchMs(times.batchTimes, 2) / (2 * slowMs(2))).toBeCloseTo(1, 1);
  });

  it('never takes a run for one that costs nothing by itself, or whose pictures cost less than nothing', () => {
    const times = new RunTimes(8);
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

describe('RenderBudget of a device that was not measured beforehand', () => {
  it('tries larger batches than the first on a slow device, and comes to the size that a calibration would give', () => {
    const budget = new RenderBudget({ budgetMs: 16, longestMs: 50, maxBatch: 8 });
    expect(budget.maxPictures(128)).toBe(8);
    budget.measured(128, 1, slowMs(1));
    expect(budget.maxPictures(128)).toBeGreaterThan(1);
    const sizes: number[] = [];
    for (let run = 0; run < 100; run++) {
      sizes.push(budget.maxPictures(128));
      budget.measured(128, sizes.at(-1)!, slowMs(sizes.at(-1)!));
    }
    expect(sizes.slice(20).filter((pictures) => pictures === 2).length).toBeGreaterThan(70);
    expect(budget.msPerPicture(128)).toBeCloseTo(slowMs(2) / 2, 0);
    expect(budget.msPerPicture(256)).toBeUndefined();
  });
});
